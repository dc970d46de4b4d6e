/* bench.h - what the kinds of `jmt bench` share: the configuration, the machine's limits, and the
 * list of results that is printed at the end. */
#ifndef JMT_BENCH_H
#define JMT_BENCH_H

#include <jansson.h>

#include "kernels/limits.h"
#include "launch/command.h"
#include "trainer/trainer.h"

enum { BENCH_ROUNDS = 11 };

typedef struct bench {
    comm_t *comm;
    const arguments_t *arguments;
    config_t *config; /* the kinds may change settings */
    int rounds;
    limits_t limits; /* measured by bench_limits */
    json_t *results; /* rank 0 prints them */
    json_t *facts;   /* of the whole run, beside the results */
    char *directory; /* of bench_data; NULL: none */
    double *ms;      /* [rounds] of one result at a time: bench_add sorts it */
} bench_t;

/* One file each. Collective. */
status_t bench_kernels(bench_t *bench) MUST_CHECK;
status_t bench_model(bench_t *bench) MUST_CHECK;
status_t bench_comm(bench_t *bench) MUST_CHECK;
status_t bench_io(bench_t *bench) MUST_CHECK;

/* Measures the limits, and puts them among the facts: of the device that computes. */
status_t bench_limits(bench_t *bench) MUST_CHECK;
/* bench_device.c: of a device that is not the host, of products in the type of the table. */
status_t bench_device_limits(const kernels_t *kernels, const device_t *device,
                             limits_t *limits_out) MUST_CHECK;

/* A result from bench->ms. limit_ms: what the machine's limits allow at best; 0: it has none.
 * Returns the result, for what else is known of it. */
json_t *bench_add(bench_t *bench, const char *name, const char *shape, double limit_ms);
/* The same with the figures that stand beside: giga-operations and gigabytes a second. */
void bench_add_work(bench_t *bench, const char *name, const char *shape, double flop,
                    double read_bytes, double written_bytes);

/* The median of values, which are sorted. */
double bench_median(double *values, int count);

/* Where config.data.path is not set: random numbers of its shapes in a directory that lasts as long
 * as the bench, 4 batches to train on and one to test, and config.data.path is that. Collective. */
status_t bench_data(bench_t *bench) MUST_CHECK;

/* Answers lines of stdin, "go" say, by one round each, which fills the answer; "end" or the end of
 * stdin ends. Collective; rank 0 reads and prints. */
typedef status_t bench_round_t(void *context, const char *line, json_t *answer);
status_t bench_interactive(bench_t *bench, bench_round_t *round, void *context) MUST_CHECK;

#endif
