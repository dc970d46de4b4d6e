/* layers_grid.h - the blocks that backbones are written with (jmt.md 1.2-1.4): convolutions, batch
 * norm and pooling over clips, pictures and signals, channels last. */
#ifndef JMT_LAYERS_GRID_H
#define JMT_LAYERS_GRID_H

#include "trainer/layers.h"

/* A backbone while it is built. Names of parameters and nodes begin with `name`. */
typedef struct trunk {
    graph_t *graph;
    const char *name; /* "video.backbone" */
    bool frozen;      /* no parameter is learned */
    norm_rule_t norm; /* of batch norms; frozen: NORM_FROZEN */
    double epsilon, momentum;
} trunk_t;

/* For each step of a sample one grid of cells; axes that are not used come first and are 1. */
typedef struct grid {
    value_t x; /* [length * extent 0 * extent 1 * extent 2, channels] */
    int axes;  /* that are used */
    int64_t extent[OP_AXES];
    row_mask_t steps; /* which of them are there */
} grid_t;

/* By axis: so many places, one every `stride`, with `before` and `after` places of padding. */
typedef struct window {
    int64_t size[OP_AXES], stride[OP_AXES], before[OP_AXES], after[OP_AXES];
} window_t;
/* Of three axes, padded alike on both sides. */
window_t window_3d(const int64_t size[OP_AXES], const int64_t stride[OP_AXES],
                   const int64_t padding[OP_AXES]);
window_t window_2d(int64_t size, int64_t stride, int64_t padding);
window_t window_1d(int64_t size, int64_t stride, int64_t padding);

/* As TensorFlow pads ("SAME"): as many places as strides, what is odd behind. */
window_t window_same(grid_t x, const int64_t size[OP_AXES], const int64_t stride[OP_AXES]);

/* act(W * x + b); W and b as PyTorch begins them. */
grid_t trunk_conv(const trunk_t *trunk, const char *name, grid_t x, int64_t channels,
                  const window_t *window, activation_t activation);

/* A convolution without bias, initialised as torchvision does (He's normal, by fan out), its batch
 * norm, and ReLU. Where the norm is fixed, it is folded into the convolution. */
grid_t trunk_conv_norm(const trunk_t *trunk, const char *conv, const char *norm, grid_t x,
                       int64_t channels, const window_t *window, activation_t activation);

/* The two by themselves: a batch norm, for networks that have it before a convolution; a
 * convolution without bias. And ReLU with learned slopes, which begin at 0.25. */
grid_t trunk_norm(const trunk_t *trunk, const char *name, grid_t x);
grid_t trunk_bare_conv(const trunk_t *trunk, const char *name, grid_t x, int64_t channels,
                       const window_t *window);
grid_t trunk_prelu(const trunk_t *trunk, const char *name, grid_t x);

grid_t trunk_pool(const trunk_t *trunk, const char *name, grid_t x, pool_rule_t rule,
                  const window_t *window);
/* Channels side by side, of grids of one extent. */
grid_t trunk_concat(const trunk_t *trunk, const char *name, const grid_t *parts, int count);
/* x + y */
grid_t trunk_add(const trunk_t *trunk, const char *name, grid_t x, grid_t y);
/* max(0, x + y) */
grid_t trunk_add_relu(const trunk_t *trunk, const char *name, grid_t x, grid_t y);

/* Each grid to one row of its channels: by pooling over all of it; through a Linear of all its
 * numbers (the weight as PyTorch has it behind Flatten). */
value_t trunk_pool_all(const trunk_t *trunk, const char *name, grid_t x, pool_rule_t rule);
value_t trunk_flatten(const trunk_t *trunk, const char *name, grid_t x, int64_t columns);
/* act(W x + b) of rows. */
value_t trunk_linear(const trunk_t *trunk, const char *name, value_t x, int64_t columns,
                     activation_t activation);

#endif
