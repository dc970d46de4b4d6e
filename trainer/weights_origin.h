/* weights_origin.h - the files of init.NAME: which of them, and who they were trained on. */
#ifndef JMT_WEIGHTS_ORIGIN_H
#define JMT_WEIGHTS_ORIGIN_H

#include "configs/config.h"
#include "data-sharding/dataset.h"
#include "trainer/weights_file.h"

/* Where weights come from besides the seed. All NULL: nowhere. */
typedef struct weights_origin {
    char *files; /* JSON: {NAME: {"file": PATH, "sha256": HEX, "format": TEXT}}; "{}": none */
    /* Of all files, and of the data's embeddings, joined (trained_on.h); "": they do not say. */
    char *trained_on;
    char *notes; /* what people should know, in lines */
} weights_origin_t;

void weights_origin_free(weights_origin_t *origin);

/* Whether the model reads what this setting names. */
bool weights_init_applies(const config_t *config, const init_config_t *init);
/* The file of a setting. *path_out: its name with seed and fold in it; caller frees, also after an
 * error. */
status_t weights_init_open(const config_t *config, const init_config_t *init, char **path_out,
                           weights_file_t **file_out) MUST_CHECK;

/* Whether the names of the files depend on seed or fold: {seed} and {fold} in them stand for these.
 */
bool weights_init_varies(const config_t *config);

/* Who the files were trained on, without a model; caller frees. */
status_t weights_init_people(const config_t *config, char **trained_on_out) MUST_CHECK;

/* Says the notes, and warns where people of the origin are held out by this data set's split. */
void weights_origin_say(const weights_origin_t *origin, const dataset_t *dataset, bool overlap);

#endif
