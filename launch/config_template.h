/* config_template.h - configurations to begin with, from what a data directory holds. */
#ifndef JMT_CONFIG_TEMPLATE_H
#define JMT_CONFIG_TEMPLATE_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/base/status.h"

/* Writes FOLDER/_common.yaml (data, modalities, targets with a loss that suits their labels) and,
 * on top of it, majority, each modality alone, concat and jmt; the last two need two modalities.
 * All of them are there, or none. Prints the path of each model's file. STATUS_INPUT: a folder that
 * is not empty; a modality that is called like a model or a control. */
status_t config_template_write(const char *data, const char *folder) MUST_CHECK;

/* config_template_target.c: "  NAME: {loss: ...}". dealt: there are people enough to hold some out,
 * so that a class may be missing among those trained on. */
status_t config_template_target(FILE *file, const char *data, const char *name,
                                bool dealt) MUST_CHECK;

#endif
