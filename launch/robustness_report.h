/* robustness_report.h - curves of scores over levels, of one model or of several side by side. */
#ifndef JMT_ROBUSTNESS_REPORT_H
#define JMT_ROBUSTNESS_REPORT_H

#include <jansson.h>

#include "launch/arguments.h"

enum { ROBUSTNESS_MODELS_MAX = 64 };

/* models: an object each, with model (as it was named), checkpoint, step, data, split and
 * rows[].{modality,corruption,level,metrics,targets}; the same rows in all. --csv, --out, --json
 * and the table: of one model its object, of several {"models": [...]}. */
status_t robustness_report(json_t *models, const arguments_t *arguments) MUST_CHECK;

#endif
