/* intra.h - one stream from two feature streams of a modality (jmt.md 1.5), such as two backbones
 * that see the same video: modalities.NAME.of and .intra. */
#ifndef JMT_INTRA_H
#define JMT_INTRA_H

#include "configs/config.h"
#include "trainer/layers.h"

enum { INTRA_PARTS = 2 };

typedef struct intra {
    bool concat;           /* concat_fc: a Linear of both side by side; else tokens that attend: */
    linear_t linear;       /* NAME.intra */
    encoder_t encoder;     /* NAME.intra.encoder.0 */
    attention_t attention; /* NAME.intra.attention */
} intra_t;

intra_t intra_make(graph_t *graph, const config_t *config, const modality_config_t *modality);
/* Parts of model.dim features. A part that is not valid at a step is zero (concat_fc) or no key;
 * the last that is valid there asks. The stream is valid where any part is. */
stream_t intra_apply(graph_t *graph, const char *modality, const intra_t *intra,
                     const stream_t parts[INTRA_PARTS]);

#endif
