/* op_bench.h - one operation of a table on memory of its own, to be timed: the same call again and
 * again on the same data, so that these are as near to the processor as their size allows. */
#ifndef JMT_OP_BENCH_H
#define JMT_OP_BENCH_H

#include "kernels/kernels.h"

const char *pass_name(pass_t pass); /* "forward" | "backward_data" | "backward_weights" */

/* "linear.forward" */
const char *op_pass_name(op_kind_t kind, pass_t pass);

typedef struct op_bench op_bench_t;

/* description: as for plan(); its strides may be 0 (the columns). shards: of that shape, all in
 * one call (of backward_weights: in as many calls). Data are random numbers in [-1, 1). All is
 * valid, but for every other row of fill_rows. STATUS_UNAVAILABLE where the table has no plan. */
status_t op_bench_open(const kernels_t *kernels, const device_t *device,
                       const op_description_t *description, int shards,
                       op_bench_t **bench_out) MUST_CHECK;
void op_bench_close(op_bench_t *bench); /* NULL allowed */

/* Whether the description asks for this pass and the operation has it. */
bool op_bench_has(const op_bench_t *bench, pass_t pass);

/* Seconds of one pass over all shards, as the mean of some calls if it is short. */
double op_bench_round(op_bench_t *bench, pass_t pass);

/* The least that a pass can do: additions and multiplications of products (those of other
 * operations count as none), and bytes that come in and go out once. */
typedef struct op_work {
    double flop, read_bytes, written_bytes;
} op_work_t;
op_work_t op_bench_work(const op_bench_t *bench, pass_t pass);

/* "8 x 64x512 -> 1536"; "8 x 4 of 16x16x512, heads 1, strided": of each of 8 shards 4 groups of 16
 * queries and keys, rows being part of wider ones. */
enum { OP_SHAPE_BYTES = 64 };
void op_shape_text(const op_description_t *description, int shards, char text_out[OP_SHAPE_BYTES]);

#endif
