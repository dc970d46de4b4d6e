/* picture_case.h - data with pictures for tests: clips of a face that grows brighter with its
 * label, some of its steps missing, and a signal of three numbers. */
#ifndef JMT_PICTURE_CASE_H
#define JMT_PICTURE_CASE_H

#include <stdint.h>

#include "kernels/base/status.h"

/* Tracks "face" (pixels, side x side), "heart" (3) and "valence" (the label), once a second; four
 * people to train on, two to test. */
status_t picture_data_write(const char *directory, int64_t side) MUST_CHECK;

#endif
