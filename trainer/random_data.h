/* random_data.h - a data directory of random numbers in a configuration's shapes, for measurements.
 */
#ifndef JMT_RANDOM_DATA_H
#define JMT_RANDOM_DATA_H

#include "configs/config.h"

/* Writes `train` and `test` recordings of one window each, by one person each, to the directory
 * `path`, which is not there yet: standard normal features (model.dim of them where dim is not
 * set), all valid, and labels of each target's kind. */
status_t random_data_write(const config_t *config, int64_t train, int64_t test,
                           const char *path) MUST_CHECK;

/* Widths of the model's modalities: those of the data at data.path where it is set, else those of
 * random_data_write. */
status_t random_dims(const config_t *config, int64_t dims_out[CONFIG_MODALITIES_MAX]) MUST_CHECK;

#endif
