/* model_data.h - the data that a configuration names, as its model reads it. */
#ifndef JMT_MODEL_DATA_H
#define JMT_MODEL_DATA_H

#include "configs/config.h"
#include "data-sharding/dataset.h"
#include "data-sharding/sample_order.h"
#include "trainer/standardize.h"

/* The data set at `path` with the model's modalities, the targets, windows and splits of config.
 * fitted: what a checkpoint knows, or NULL; it tells how wide a modality is that the data lacks. */
status_t model_data_open(const config_t *config, const char *path, const standardize_t *fitted,
                         dataset_t **dataset_out) MUST_CHECK;

/* STATUS_INPUT where a training on the data would learn the order of the tasks unsaid. */
status_t model_data_check(const config_t *config, const dataset_t *dataset) MUST_CHECK;

/* Features of each of the model's modalities (model_modalities): the configuration's, else those of
 * `dataset`; STATUS_INPUT where both speak and differ, or neither does. dataset may be NULL. */
status_t model_data_dims(const config_t *config, const dataset_t *dataset,
                         int64_t dims_out[CONFIG_MODALITIES_MAX]) MUST_CHECK;

/* The same, opening data.path only if the configuration leaves a dim open and names data. */
status_t model_dims(const config_t *config, int64_t dims_out[CONFIG_MODALITIES_MAX]) MUST_CHECK;

/* The order that config gives the training samples; the caller closes it. */
sample_order_t *model_data_order(const config_t *config, const dataset_t *dataset);

#endif
