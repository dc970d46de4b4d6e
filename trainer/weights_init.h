/* weights_init.h - a run that begins with weights of other files (the settings init.NAME).
 *
 * init.MODALITY fills what makes features of that modality a stream of the model: the parameters
 * MODALITY.backbone.*, .front.* and .intra.*, which are called so in every model; init.model all
 * parameters but those that another init.MODALITY fills. Strictly: the file has each of them
 * (weights_names.h) in its shape, and one that this program wrote has no other of that part. Of a
 * modality with a backbone a foreign file need have that alone. What else foreign files hold is
 * said and not used. Everything not filled keeps what the seed made. */
#ifndef JMT_WEIGHTS_INIT_H
#define JMT_WEIGHTS_INIT_H

#include "trainer/graph.h"
#include "trainer/weights_origin.h"

/* Fills parameter p at offsets[p] of `weights`, which the seed has filled. Local; STATUS_INPUT
 * names what is missing. */
status_t weights_init(const config_t *config, const graph_t *graph, const int64_t *offsets,
                      float *weights, weights_origin_t *origin_out) MUST_CHECK;

/* Copies the `count` numbers of a tensor of `rank` and `dims` to one of `to_rank` and `to_dims`:
 * the same shape, but for windows of size 1; or the mean over the three input channels of a
 * convolution where there is one (*mean_out). False: the shapes do not fit. */
bool weights_fit(const float *from, int rank, const int64_t *dims, float *to, int to_rank,
                 const int64_t *to_dims, bool *mean_out);

#endif
