#include "kernels/cuda/tables.h"

#include "kernels/cuda/backend.h"

#define PROTOTYPES_F32(name)  OP_PROTOTYPES(name, cuda_f32)
#define PROTOTYPES_BF16(name) OP_PROTOTYPES(name, cuda_bf16)
OP_LIST(PROTOTYPES_F32)
OP_LIST(PROTOTYPES_BF16)

#define TREE_PROTOTYPE(name)                                                                       \
    void name(const op_use_t *uses, int use_count, int shard_begin, int shard_end,                 \
              void *const d_weight[OP_WEIGHTS_MAX], void *scratch);
TREE_PROTOTYPE(linear_backward_tree_cuda_f32)
TREE_PROTOTYPE(linear_backward_tree_cuda_bf16)
TREE_PROTOTYPE(conv_backward_tree_cuda_f32)
TREE_PROTOTYPE(conv_backward_tree_cuda_bf16)
void conv_prepare_cuda_f32(const op_plan_t *plan, const op_call_t *call);
void conv_prepare_cuda_bf16(const op_plan_t *plan, const op_call_t *call);
void conv_plan_close_cuda(op_plan_t *plan);
SUMS_PROTOTYPE(batch_norm, cuda_f32)
SUMS_PROTOTYPE(batch_norm, cuda_bf16)
void sums_total_cuda(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                     double *all, double *total);
void temporal_conv_plan_close_cuda(op_plan_t *plan);
void linear_prepare_cuda(const op_plan_t *plan, const op_call_t *call);
void linear_plan_close_cuda(op_plan_t *plan);
void add_waves_plan_close_cuda(op_plan_t *plan);

void loss_sums_cuda_f32(const loss_call_t *call, double *sums);
void loss_sums_cuda_bf16(const loss_call_t *call, double *sums);
void loss_gradient_cuda_f32(const loss_call_t *call, const double total[LOSS_SUMS]);
void loss_gradient_cuda_bf16(const loss_call_t *call, const double total[LOSS_SUMS]);
void optimizer_update_cuda(const optimizer_call_t *call);
void pictures_cuda(const pictures_call_t *call);
void judge_cuda(const judge_call_t *call);
void sum_squares_spans_cuda(const device_t *device, const void *gradient,
                            const optimizer_span_t *spans, int64_t span_count, double *partials);
void add_cuda(const device_t *device, void *out, const void *a, const void *b, int64_t count);
bool all_finite_cuda(const device_t *device, const void *x, int64_t count);
void mask_any_cuda(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end);
void mask_all_cuda(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end);
void mask_seen_cuda(const device_t *device, mask_t out, mask_t keys, int64_t groups, bool causal,
                    int shard_begin, int shard_end);
void mask_tokens_cuda(const device_t *device, mask_t out, const mask_t *query, const mask_t *key,
                      int tokens, int64_t groups, bool causal, int shard_begin, int shard_end);

#define CUDA_ROW_CLOSED(name, suffix, close)                                                       \
    [OP_##name] = {                                                                                \
        .plan = ROW_NAME(name##_plan, suffix),                                                     \
        .plan_close = (close),                                                                     \
        .forward = ROW_NAME(name##_forward, suffix),                                               \
        .backward_data = ROW_NAME(name##_backward_data, suffix),                                   \
        .backward_weights = WEIGHTS_##name(ROW_NAME(name##_backward_weights, suffix)),             \
    },
#define CUDA_ROW(name, suffix) CUDA_ROW_CLOSED(name, suffix, plan_close_cuda)

/* Rows that hold more than their description, or do more than the others. */
#define CUDA_ROWS_APART(suffix)                                                                    \
    [OP_linear] = {ROW_NAME(linear_plan, suffix),                                                  \
                   linear_plan_close_cuda,                                                         \
                   linear_prepare_cuda,                                                            \
                   ROW_NAME(linear_forward, suffix),                                               \
                   ROW_NAME(linear_backward_data, suffix),                                         \
                   ROW_NAME(linear_backward_weights, suffix),                                      \
                   ROW_NAME(linear_backward_tree, suffix)},                                        \
    [OP_conv] = {ROW_NAME(conv_plan, suffix),          conv_plan_close_cuda,                       \
                 ROW_NAME(conv_prepare, suffix),       ROW_NAME(conv_forward, suffix),             \
                 ROW_NAME(conv_backward_data, suffix), ROW_NAME(conv_backward_weights, suffix),    \
                 ROW_NAME(conv_backward_tree, suffix)},                                            \
    CUDA_ROW_CLOSED(add_waves, suffix, add_waves_plan_close_cuda)                                  \
        CUDA_ROW_CLOSED(temporal_conv, suffix, temporal_conv_plan_close_cuda)

#define CUDA_ROWS(suffix)                                                                          \
    CUDA_ROWS_APART(suffix)                                                                        \
    CUDA_ROW(attention, suffix)                                                                    \
    CUDA_ROW(add_layernorm, suffix)                                                                \
    CUDA_ROW(relu, suffix)                                                                         \
    CUDA_ROW(leaky_relu, suffix)                                                                   \
    CUDA_ROW(prelu, suffix)                                                                        \
    CUDA_ROW(pool, suffix)                                                                         \
    CUDA_ROW(batch_norm, suffix)                                                                   \
    CUDA_ROW(l2_normalize, suffix)                                                                 \
    CUDA_ROW(mask_rows, suffix)                                                                    \
    CUDA_ROW(concat, suffix)                                                                       \
    CUDA_ROW(select_token, suffix)                                                                 \
    CUDA_ROW(dropout, suffix)                                                                      \
    CUDA_ROW(sum, suffix)                                                                          \
    CUDA_ROW(tanh, suffix)                                                                         \
    CUDA_ROW(softmax_gate, suffix)                                                                 \
    CUDA_ROW(add_rows, suffix)                                                                     \
    CUDA_ROW(fill_rows, suffix)                                                                    \
    CUDA_ROW(mix_rows, suffix)                                                                     \
    CUDA_ROW(correlate, suffix)                                                                    \
    OP_SUMS(suffix)

#define CUDA_TABLE(suffix, activations)                                                            \
    {                                                                                              \
        .backend = "cuda", .device = "cuda", .dtype = (activations), .ops = {CUDA_ROWS(suffix)},   \
        .loss_sums = ROW_NAME(loss_sums, suffix),                                                  \
        .loss_gradient = ROW_NAME(loss_gradient, suffix),                                          \
        .optimizer_update = optimizer_update_cuda, .judge = judge_cuda,                            \
        .sum_squares_spans = sum_squares_spans_cuda, .add = add_cuda,                              \
        .all_finite = all_finite_cuda, .mask_any = mask_any_cuda, .mask_all = mask_all_cuda,       \
        .mask_seen = mask_seen_cuda, .mask_tokens = mask_tokens_cuda,                              \
        .sums_total = sums_total_cuda, .pictures = pictures_cuda,                                  \
    }

const kernels_t kernels_cuda_f32 = CUDA_TABLE(cuda_f32, DTYPE_F32);
const kernels_t kernels_cuda_bf16 = CUDA_TABLE(cuda_bf16, DTYPE_BF16);
