/* inspect.h - what a data directory holds, as JSON. */
#ifndef JMT_INSPECT_H
#define JMT_INSPECT_H

#include "data-sharding/dataset.h"

/* One JSON object: format_version importer source licence terms identity recordings subjects
 * windows windows_unlabelled window stride modalities.NAME.{dim,rate_hz,steps,valid}
 * targets.NAME.{rate_hz,steps,valid} splits.NAME.{recordings,subjects,windows} facts. The config's
 * modalities and targets are not looked at; with fewer than three people to train on, nobody is
 * dealt to test or valid. A rate that differs between recordings is a list; windows are null where
 * rates differ, and windows_note says so. The caller frees. */
status_t inspect_dataset(const dataset_config_t *config, char **json_out) MUST_CHECK;

/* Fills path, window 0 (window and rate of the data, else 16 steps), valid_fraction and
 * test_fraction 0.2, seed 1. */
dataset_config_t inspect_defaults(const char *dir);

#endif
