/* plan_report.h - what `jmt plan` shows: layers, shapes, parameters, work and memory, without
 * training. */
#ifndef JMT_PLAN_REPORT_H
#define JMT_PLAN_REPORT_H

#include "configs/config.h"
#include "kernels/base/status.h"

/* One JSON object (surface.md) for a single rank; caller frees. dims: by modality of the model. */
status_t plan_report(const config_t *config, const int64_t *dims, char **json_out) MUST_CHECK;

#endif
