/* schedule.h - the learning rate as a pure function of step and epoch (jmt.md 2.4). */
#ifndef JMT_SCHEDULE_H
#define JMT_SCHEDULE_H

#include "configs/config.h"

/* step counts from 0, epoch from 0. constant | step: lr*gamma^(epoch/step_epochs) | cosine over
 * epochs; never below min_learning_rate; multiplied by (step+1)/warmup_steps during warm-up. */
double schedule_learning_rate(const config_t *config, int64_t step, int64_t epoch);

#endif
