/* limits.h - what this processor and its memory can do at most, measured in this process: what
 * other measurements stand beside. */
#ifndef JMT_LIMITS_H
#define JMT_LIMITS_H

#include <stdint.h>

#include "kernels/base/status.h"

enum { LIMITS_SIZES = 6 };

typedef struct limits {
    const char *isa; /* of the instructions that were timed */
    int threads;
    double flop_s;      /* float32, a multiply and an add being two, on registers alone */
    double bf16_flop_s; /* products of bf16 summed in float32; 0: not with this isa */
    /* By how much memory is walked over; bytes a second, read and written ones together. */
    double bytes[LIMITS_SIZES]; /* growing, from the first cache to beyond all of them */
    double copy_s[LIMITS_SIZES], triad_s[LIMITS_SIZES], read_s[LIMITS_SIZES];
} limits_t;

/* Takes about a second. threads: OpenMP threads that work at once, each on its own memory; all
 * figures are their sum. Errors are those of kernels_isa. */
status_t limits_measure(int threads, limits_t *limits_out) MUST_CHECK;

/* Seconds that so many bytes take to come and go at best: reading at the speed of reading, the rest
 * at the speed that is left of copy or triad, whichever leaves more; between the measured sizes by
 * interpolation over the sum of both. */
double limits_memory_s(const limits_t *limits, double read_bytes, double written_bytes);

/* The shortest time for so much work: the longer of what the arithmetic and the memory take. */
double limits_time_s(const limits_t *limits, double flop, double read_bytes, double written_bytes);

#endif
