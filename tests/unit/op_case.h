/* op_case.h - one operation with random data, strided views and guards, on any table.
 *
 * Everything that an operation may not read (gaps between rows, other shards) is NaN and everything
 * that it may not write is compared with that NaN afterwards. Values are multiples of 2^-23 in [-1,
 * 1) and depend only on tensor, shard, row and column, so cases of different tables and runs are
 * comparable. All of it lies on the host; for a table of another device it is copied there and back
 * around each call. */
#ifndef JMT_TESTS_OP_CASE_H
#define JMT_TESTS_OP_CASE_H

#include "kernels/kernels.h"

enum { CASE_SHARDS_MAX = 7, CASE_OWNED_MAX = 2 * OP_INPUTS_MAX + 32 };

typedef struct op_case {
    const kernels_t *kernels;
    const op_row_t *row;
    op_description_t description;
    op_plan_t *plan;
    op_needs_t needs;
    op_call_t call;
    step_scalars_t scalars;
    int shards;
    bool short_values; /* numbers are those that bf16 holds */
    int64_t weight_count[OP_WEIGHTS_MAX];
    void *d_weight[OP_WEIGHTS_MAX][CASE_SHARDS_MAX];
    const device_t *device; /* of a table that works in memory of its own; NULL: the host's */
    double *sums;           /* [shards, sum_count]: what the operation says of each */
    double *totals;         /* [sum_count] */
    void *owned[CASE_OWNED_MAX];
    size_t owned_bytes[CASE_OWNED_MAX];
    void *on_device[CASE_OWNED_MAX]; /* what is copied there before a call, and back after it */
    int owned_count;
    void *stage, *stage_on_device; /* all of it side by side: one copy each way */
    size_t stage_bytes;
} op_case_t;

/* Shapes of the description without strides; d_in and d_out are made like in and out. */
void case_open(op_case_t *test, const kernels_t *kernels, const op_description_t *description,
               int shards, int shard_begin, int shard_end);
/* The same with numbers rounded to bf16, so that tables of all types have equal ones. */
void case_open_short(op_case_t *test, const kernels_t *kernels, const op_description_t *description,
                     int shards, int shard_begin, int shard_end);
void case_close(op_case_t *test);

/* Rows and shards of the cases opened from now on begin at multiples of 16 bytes, but those of one
 * matrix: 0 out, 1 d_out, 2 + 2 i in[i], 3 + 2 i d_in[i]; or but the weights, or the bias;
 * CASE_BUT_SHARDS + a matrix: its rows do, and its shards do not. Or there is nothing between
 * them. */
enum {
    CASE_WITHOUT_GAPS = -3,
    CASE_ALIGNED_NONE,
    CASE_ALIGNED_ALL,
    CASE_BUT_WEIGHTS = 2 + 2 * OP_INPUTS_MAX,
    CASE_BUT_BIAS,
    CASE_BUT_SHARDS,
};
int case_align_rows(int but); /* what was so before */

/* A mask of `count` bytes per shard: about a third is invalid, and so is every index with
 * index / block == off_block (block 0: none). */
void case_mask(op_case_t *test, int64_t count, int64_t block, int64_t off_block);

/* Operations that couple shards: the totals are of those that the case runs. */
void case_forward(op_case_t *test);
void case_backward(op_case_t *test);
void case_run(op_case_t *test); /* both, then the guards */
void case_check_guards(const op_case_t *test);

/* The case's memory: freed with it, and copied to the device and back around calls. Pointers of the
 * following calls are to such memory. */
void case_keep(op_case_t *test, void *memory, size_t bytes);
void case_call(op_case_t *test, void (*function)(const op_plan_t *plan, const op_call_t *call),
               const op_call_t *call);
void case_tree(op_case_t *test, const op_use_t *uses, int use_count, int begin, int end,
               void *const d_weight[OP_WEIGHTS_MAX], void *scratch);

double case_get(const op_case_t *test, matrix_t matrix, int shard, int64_t row, int64_t col);
void case_set(const op_case_t *test, matrix_t matrix, int shard, int64_t row, int64_t col,
              double value);
double case_flat_get(const op_case_t *test, const void *data, int64_t index);
void case_flat_set(const op_case_t *test, void *data, int64_t index, double value);

/* |actual - expected| <= bound; a NaN fails. */
void check_value(double actual, double expected, double bound);

/* Central differences of sum(out * d_out) in every input and weight; the case must be float64 and
 * run. */
void case_check_gradients(op_case_t *test, double tolerance);

/* Same bits in out, d_in and d_weight, over the shards that both have run. */
void case_check_same_bits(const op_case_t *a, const op_case_t *b);

/* |a - exact| <= bounds, given for out, for each d_in and for each d_weight; where a has bf16, one
 * rounding to it is allowed on top. */
void case_check_near(const op_case_t *a, const op_case_t *exact, double out_bound,
                     double d_in_bound, double d_weight_bound);

/* Runs the operation: gradients in ref/f64; shard 1 alone against shards 0-2; every cpu table that
 * this machine can run against ref/f32 bit for bit where it is compiled from the reference, else
 * near ref/f64 and one shard alone against two; every table for bf16 near ref/f64 on numbers that
 * bf16 holds, and one shard alone against two. On the GPU: its tables alone, against ref/f64. */
void case_check_reference(const op_description_t *description, int64_t mask_count, int64_t block,
                          int64_t off_block);

/* Tables for bf16 that this machine can run; how many. */
enum { CASE_SHORT_TABLES_MAX = 5 };
int case_short_tables(const kernels_t *tables[CASE_SHORT_TABLES_MAX]);

/* On cpu/f32 and cpu/bf16: a shard has the same bits alone, twice, as among four. */
void case_check_alone(const op_description_t *description);

/* On cpu/f32: inputs are 1 and gradients of the output 1 + 2^-10, so that each element of the
 * weights' gradients is the sum of so many numbers as there are rows. A chain of additions as long
 * as that loses the fraction from 2^14 rows on. */
void case_check_many_rows(const op_description_t *description);

/* On cpu/f32 and cpu/bf16: what the operation makes of a run of shards is bit for bit the canonical
 * tree over the gradients of each; and on a GPU, of two equal uses, twice that. */
void case_check_tree(const op_description_t *description);

/* Whether rows and shards follow one another or have gaps between them changes no bit of "cpu". */
void case_check_gaps(const op_description_t *description);
/* On a GPU, against the reference: rows at multiples of 16 bytes, but those of one matrix, or all
 * of them and the weights not; or shards but those of one. */
void case_check_alignment(const op_description_t *description);
void case_check_alignment_of_shards(const op_description_t *description);

/* On cpu/f32 and cpu/bf16: the same bits with one thread and with three. */
void case_check_threads(const op_description_t *description);

/* On both: plans without d_out (forward only), and without d_in (a first layer). */
void case_check_without_gradients(const op_description_t *description);

/* What products of a GPU may be off beside those in float: it keeps 10 bits of each (TF32), and a
 * table for bf16 rounds results that a bias or a norm follows, and gradients of filters. 0 for the
 * host's tables and for other operations. */
double case_product_bound(const kernels_t *kernels, op_kind_t kind, double terms);

const kernels_t *case_table(const char *backend, dtype_t dtype);

/* The GPU of this process; NULL where the build or the machine has none. */
const device_t *case_gpu(void);

/* Runs the tests; in a build for GPUs on one, if there is one: case_table then gives its table in
 * place of cpu's, which builds without GPUs test. */
#define RUN_ON_GPU_OR_HOST(tests) (case_go_on_gpu(), RUN_TESTS(tests))
void case_go_on_gpu(void);
bool case_on_gpu(void);

#endif
