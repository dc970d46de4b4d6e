/* config_template.h - configurations to begin with, from what a data directory holds. */
#ifndef JMT_CONFIG_TEMPLATE_H
#define JMT_CONFIG_TEMPLATE_H

#include "kernels/base/status.h"

/* Writes FOLDER/_common.yaml (data, modalities, targets with a loss that suits their labels) and,
 * on top of it, majority, each modality alone, concat and jmt; the last two need two modalities.
 * Prints the path of each model's file. A folder that has such files is STATUS_INPUT. */
status_t config_template_write(const char *data, const char *folder) MUST_CHECK;

#endif
