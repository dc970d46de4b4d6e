/* front.h - what maps a modality's features to model.dim: nothing, Linear, or a TCN. */
#ifndef JMT_FRONT_H
#define JMT_FRONT_H

#include "configs/config.h"
#include "trainer/layers.h"

typedef enum { FRONT_NONE, FRONT_LINEAR, FRONT_TCN } front_kind_t;
typedef struct front {
    front_kind_t kind;
    linear_t linear;
    tcn_t tcn;
} front_t;

/* Its parameters, NAME.front...; STATUS_INPUT where `none` is asked to change the width. */
status_t front_make(graph_t *graph, const config_t *config, const modality_config_t *modality,
                    int64_t dim, front_t *front_out) MUST_CHECK;
value_t front_apply(graph_t *graph, const char *modality, const front_t *front, stream_t x);

#endif
