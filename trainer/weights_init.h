/* weights_init.h - a run that begins with weights of other files (the settings init.NAME).
 *
 * init.MODALITY fills what makes features of that modality a stream of the model: the parameters
 * MODALITY.backbone.*, .front.* and .intra.*, which are called so in every model; init.model all
 * parameters but those that another init.MODALITY fills. Strictly: the file has each of them
 * (weights_names.h) in its shape, and one that this program wrote has no other of that part. What
 * else foreign files hold is said and not used. Everything not filled keeps what the seed made. */
#ifndef JMT_WEIGHTS_INIT_H
#define JMT_WEIGHTS_INIT_H

#include "configs/config.h"
#include "data-sharding/dataset.h"
#include "trainer/graph.h"

/* Where weights come from besides the seed. All NULL: nowhere. */
typedef struct weights_origin {
    char *files;      /* JSON: {NAME: {"file": PATH, "sha256": HEX, "format": TEXT}}; "{}": none */
    char *trained_on; /* of all files, joined (trained_on.h); "": they do not say */
    char *notes;      /* what people should know, in lines */
} weights_origin_t;

void weights_origin_free(weights_origin_t *origin);

/* Fills parameter p at offsets[p] of `weights`, which the seed has filled. Local; STATUS_INPUT
 * names what is missing. */
status_t weights_init(const config_t *config, const graph_t *graph, const int64_t *offsets,
                      float *weights, weights_origin_t *origin_out) MUST_CHECK;

/* Whether the names of the files depend on seed or fold: {seed} and {fold} in them stand for these.
 */
bool weights_init_varies(const config_t *config);

/* Who the files were trained on, without a model; caller frees. */
status_t weights_init_people(const config_t *config, char **trained_on_out) MUST_CHECK;

/* Says the notes, and warns where people of the origin are held out by this data set's split. */
void weights_origin_say(const weights_origin_t *origin, const dataset_t *dataset, bool overlap);

/* Copies the `count` numbers of a tensor of `rank` and `dims` to one of `to_rank` and `to_dims`:
 * the same shape, but for windows of size 1; or the mean over the three input channels of a
 * convolution where there is one (*mean_out). False: the shapes do not fit. */
bool weights_fit(const float *from, int rank, const int64_t *dims, float *to, int to_rank,
                 const int64_t *to_dims, bool *mean_out);

#endif
