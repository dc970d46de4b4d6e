/* weights_names.h - what others call our parameters. */
#ifndef JMT_WEIGHTS_NAMES_H
#define JMT_WEIGHTS_NAMES_H

#include "configs/config.h"
#include "trainer/layers.h"

enum { WEIGHTS_NAMES_MAX = 3 };

/* Names under which a file may have the parameter `name`, the likeliest first; how many.
 *
 * As it is; within the backbone of `modality` ("": of none) by its bare name, which is
 * torchvision's; in the published checkpoints of the joint multimodal transformer by theirs
 * (jmt.md, appendix B), whose visual stream is the model's first and whose physiological (or audio)
 * one is the second. */
int weights_names(const config_t *config, const char *modality, const char *name,
                  name_t names_out[WEIGHTS_NAMES_MAX]);

#endif
