/* rows.h - the names of an operation's functions, and how they become a row of a table. */
#ifndef JMT_KERNELS_REF_ROWS_H
#define JMT_KERNELS_REF_ROWS_H

#include "kernels/kernels.h"

#define ROW_NAME_(name, suffix) name##_##suffix
#define ROW_NAME(name, suffix)  ROW_NAME_(name, suffix)

/* Which operations have weights: the others leave backward_weights NULL. */
#define WEIGHTS_linear(function)        function
#define WEIGHTS_attention(function)     NULL
#define WEIGHTS_add_layernorm(function) function
#define WEIGHTS_relu(function)          NULL
#define WEIGHTS_leaky_relu(function)    NULL
#define WEIGHTS_prelu(function)         function
#define WEIGHTS_temporal_conv(function) function
#define WEIGHTS_conv(function)          function
#define WEIGHTS_pool(function)          NULL
#define WEIGHTS_batch_norm(function)    function
#define WEIGHTS_l2_normalize(function)  NULL
#define WEIGHTS_mask_rows(function)     NULL
#define WEIGHTS_concat(function)        NULL
#define WEIGHTS_select_token(function)  NULL
#define WEIGHTS_dropout(function)       NULL
#define WEIGHTS_sum(function)           NULL
#define WEIGHTS_tanh(function)          NULL
#define WEIGHTS_softmax_gate(function)  NULL
#define WEIGHTS_add_rows(function)      function
#define WEIGHTS_fill_rows(function)     function
#define WEIGHTS_add_waves(function)     NULL
#define WEIGHTS_mix_rows(function)      function
#define WEIGHTS_correlate(function)     NULL

#define OP_PROTOTYPES(name, suffix)                                                                \
    status_t ROW_NAME(name##_plan, suffix)(const op_description_t *description,                    \
                                           op_plan_t **plan_out, op_needs_t *needs_out);           \
    void ROW_NAME(name##_forward, suffix)(const op_plan_t *plan, const op_call_t *call);           \
    void ROW_NAME(name##_backward_data, suffix)(const op_plan_t *plan, const op_call_t *call);     \
    void ROW_NAME(name##_backward_weights, suffix)(const op_plan_t *plan, const op_call_t *call);
#define REAL_PROTOTYPES(name) OP_PROTOTYPES(name, KERNEL_SUFFIX)
/* Of operations that may couple the shards of a batch. */
#define SUMS_PROTOTYPE(name, suffix)                                                               \
    void ROW_NAME(name##_sums, suffix)(const op_plan_t *plan, const op_call_t *call, pass_t pass,  \
                                       double *sums);

#define TABLE_PROTOTYPES(suffix)                                                                   \
    void ROW_NAME(plan_close, suffix)(op_plan_t * plan);                                           \
    void ROW_NAME(loss_sums, suffix)(const loss_call_t *call, double *sums);                       \
    void ROW_NAME(loss_gradient, suffix)(const loss_call_t *call, const double total[LOSS_SUMS]);  \
    void ROW_NAME(optimizer_update, suffix)(const optimizer_call_t *call);                         \
    void ROW_NAME(multiply, suffix)(const device_t *device, const multiply_call_t *call);          \
    void ROW_NAME(add, suffix)(const device_t *device, void *out, const void *a, const void *b,    \
                               int64_t count);                                                     \
    void ROW_NAME(sum_squares_spans, suffix)(const device_t *device, const void *gradient,         \
                                             const optimizer_span_t *spans, int64_t span_count,    \
                                             double *partials);                                    \
    bool ROW_NAME(all_finite, suffix)(const device_t *device, const void *x, int64_t count);

#define OP_ROW(name, suffix)                                                                       \
    [OP_##name] = {                                                                                \
        .plan = ROW_NAME(name##_plan, suffix),                                                     \
        .plan_close = ROW_NAME(plan_close, suffix),                                                \
        .forward = ROW_NAME(name##_forward, suffix),                                               \
        .backward_data = ROW_NAME(name##_backward_data, suffix),                                   \
        .backward_weights = WEIGHTS_##name(ROW_NAME(name##_backward_weights, suffix)),             \
    },

/* Of the tables that work on the host (kernels/masks.c, op_sums.c, pictures.c). */
void host_mask_any(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end);
void host_mask_all(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end);
void host_mask_seen(const device_t *device, mask_t out, mask_t keys, int64_t groups, bool causal,
                    int shard_begin, int shard_end);
void host_mask_tokens(const device_t *device, mask_t out, const mask_t *query, const mask_t *key,
                      int tokens, int64_t groups, bool causal, int shard_begin, int shard_end);
void host_sums_total(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                     double *all, double *total);
void host_pictures(const pictures_call_t *call);
void host_judge(const judge_call_t *call); /* kernels/judge.c */
#define ON_HOST                                                                                    \
    .device = "cpu", .mask_any = host_mask_any, .mask_all = host_mask_all,                         \
    .mask_seen = host_mask_seen, .mask_tokens = host_mask_tokens, .sums_total = host_sums_total,   \
    .judge = host_judge, .pictures = host_pictures

/* Behind the rows of a table. */
#define OP_SUMS(suffix) [OP_batch_norm].sums = ROW_NAME(batch_norm_sums, suffix)

#define TABLE_REST(suffix)                                                                         \
    .loss_sums = ROW_NAME(loss_sums, suffix), .loss_gradient = ROW_NAME(loss_gradient, suffix),    \
    .optimizer_update = ROW_NAME(optimizer_update, suffix),                                        \
    .multiply = ROW_NAME(multiply, suffix), .add = ROW_NAME(add, suffix),                          \
    .sum_squares_spans = ROW_NAME(sum_squares_spans, suffix),                                      \
    .all_finite = ROW_NAME(all_finite, suffix), ON_HOST

extern const kernels_t kernels_ref_f32, kernels_ref_f64;
extern const kernels_t kernels_cpu_generic, kernels_cpu_avx2, kernels_cpu_avx512;
/* bf16; the last with products of the processor's own. */
extern const kernels_t kernels_ref_bf16, kernels_cpu_generic_bf16, kernels_cpu_avx2_bf16;
extern const kernels_t kernels_cpu_avx512_bf16, kernels_cpu_pairs_bf16;

#endif
