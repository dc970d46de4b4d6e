/* rounded.h - tables for bf16 made of tables for float: what an operation reads is widened into the
 * workspace, computed by the float table's operation, and rounded. Saves memory between operations,
 * not time; what a table of bf16 is tested against, and what stands in where a processor has no
 * products of bf16. */
#ifndef JMT_KERNELS_REF_ROUNDED_H
#define JMT_KERNELS_REF_ROUNDED_H

#include "kernels/ref/rows.h"

/* Of one float table, whose suffix they have. */
#define ROUNDED_PROTOTYPES(suffix)                                                                 \
    status_t ROW_NAME(rounded_plan, suffix)(const op_description_t *description,                   \
                                            op_plan_t **plan_out, op_needs_t *needs_out);          \
    void ROW_NAME(rounded_plan_close, suffix)(op_plan_t * plan);                                   \
    void ROW_NAME(rounded_prepare, suffix)(const op_plan_t *plan, const op_call_t *call);          \
    void ROW_NAME(rounded_forward, suffix)(const op_plan_t *plan, const op_call_t *call);          \
    void ROW_NAME(rounded_backward_data, suffix)(const op_plan_t *plan, const op_call_t *call);    \
    void ROW_NAME(rounded_backward_weights, suffix)(const op_plan_t *plan, const op_call_t *call); \
    void ROW_NAME(rounded_sums, suffix)(const op_plan_t *plan, const op_call_t *call, pass_t pass, \
                                        double *sums);                                             \
    void ROW_NAME(rounded_loss_sums, suffix)(const loss_call_t *call, double *sums);               \
    void ROW_NAME(rounded_loss_gradient, suffix)(const loss_call_t *call,                          \
                                                 const double total[LOSS_SUMS]);

#define ROUNDED_ROW(name, suffix)                                                                  \
    [OP_##name] = {                                                                                \
        .plan = ROW_NAME(rounded_plan, suffix),                                                    \
        .plan_close = ROW_NAME(rounded_plan_close, suffix),                                        \
        .forward = ROW_NAME(rounded_forward, suffix),                                              \
        .backward_data = ROW_NAME(rounded_backward_data, suffix),                                  \
        .backward_weights = WEIGHTS_##name(ROW_NAME(rounded_backward_weights, suffix)),            \
    },

/* What moves numbers and computes nothing is the reference's, compiled for words of 16 bits. */
OP_PROTOTYPES(concat, words)
OP_PROTOTYPES(mask_rows, words)
void plan_close_words(op_plan_t *plan);

/* A whole table. flat: the suffix of what runs over weights and gradients, which are float. */
#define ROUNDED_TABLE(name_of_backend, suffix, flat)                                               \
    {                                                                                              \
        .backend = (name_of_backend), .dtype = DTYPE_BF16,                                         \
        .ops = {[OP_linear] = {ROW_NAME(rounded_plan, suffix),                                     \
                               ROW_NAME(rounded_plan_close, suffix),                               \
                               ROW_NAME(rounded_prepare, suffix),                                  \
                               ROW_NAME(rounded_forward, suffix),                                  \
                               ROW_NAME(rounded_backward_data, suffix),                            \
                               ROW_NAME(rounded_backward_weights, suffix), NULL},                  \
                [OP_conv] = {ROW_NAME(rounded_plan, suffix), ROW_NAME(rounded_plan_close, suffix), \
                             ROW_NAME(rounded_prepare, suffix), ROW_NAME(rounded_forward, suffix), \
                             ROW_NAME(rounded_backward_data, suffix),                              \
                             ROW_NAME(rounded_backward_weights, suffix), NULL},                    \
                ROUNDED_ROW(attention, suffix) ROUNDED_ROW(add_layernorm, suffix)                  \
                    ROUNDED_ROW(sum, suffix) ROUNDED_ROW(batch_norm, suffix)                       \
                        ROUNDED_ROW(relu, suffix) ROUNDED_ROW(dropout, suffix)                     \
                            ROUNDED_COMMON(suffix)[OP_batch_norm]                                  \
                                .sums = ROW_NAME(rounded_sums, suffix)},                           \
        ROUNDED_REST(suffix, flat)                                                                 \
    }

/* clang-format off: it changes its mind about rows without commas */
#define ROUNDED_COMMON(suffix)                                                                     \
    ROUNDED_ROW(pool, suffix)                                                                      \
    ROUNDED_ROW(temporal_conv, suffix)                                                             \
    ROUNDED_ROW(leaky_relu, suffix)                                                                \
    ROUNDED_ROW(prelu, suffix)                                                                     \
    ROUNDED_ROW(l2_normalize, suffix)                                                              \
    ROUNDED_ROW(select_token, suffix)                                                              \
    ROUNDED_ROW(tanh, suffix)                                                                      \
    ROUNDED_ROW(softmax_gate, suffix)                                                              \
    ROUNDED_ROW(add_rows, suffix)                                                                  \
    ROUNDED_ROW(fill_rows, suffix)                                                                 \
    ROUNDED_ROW(add_waves, suffix)                                                                 \
    ROUNDED_ROW(mix_rows, suffix)                                                                  \
    ROUNDED_ROW(correlate, suffix)                                                                 \
    OP_ROW(mask_rows, words)                                                                       \
    OP_ROW(concat, words)
/* clang-format on */

#define ROUNDED_REST(suffix, flat)                                                                 \
    .loss_sums = ROW_NAME(rounded_loss_sums, suffix),                                              \
    .loss_gradient = ROW_NAME(rounded_loss_gradient, suffix),                                      \
    .optimizer_update = ROW_NAME(optimizer_update, flat), .multiply = ROW_NAME(multiply, flat),    \
    .add = ROW_NAME(add, flat), .sum_squares_spans = ROW_NAME(sum_squares_spans, flat),            \
    .all_finite = ROW_NAME(all_finite, flat), ON_HOST

#endif
