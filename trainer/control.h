/* control.h - the models that are tables of training labels: `majority` (one constant), `clock`
 * (one entry for each stretch of time since a recording began), `stimulus` (the same within each
 * group). */
#ifndef JMT_CONTROL_H
#define JMT_CONTROL_H

#include "trainer/trainer.h"

/* Sets `weights`, which lie as the trainer's: bias = the constant that all training labels suggest,
 * weight = what an entry adds to it. Reads every training label on every rank, in sample order. */
status_t control_fit(trainer_t *trainer, float *weights) MUST_CHECK;

#endif
