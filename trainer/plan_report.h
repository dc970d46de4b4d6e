/* plan_report.h - what `jmt plan` shows: layers, shapes, parameters, work and memory, without
 * training. */
#ifndef JMT_PLAN_REPORT_H
#define JMT_PLAN_REPORT_H

#include <jansson.h>

#include "configs/config.h"
#include "kernels/base/status.h"

/* One object, that of `jmt plan --json`, for a single rank that holds all shards. Data that is
 * there is opened: what it takes in memory is measured, not guessed. `shard` is the price of the
 * virtual shards: samples in one, additions and at most so many bytes of memory traffic of the fold
 * in a step, memory beyond that of one shard. */
status_t plan_report(const config_t *config, json_t **report_out) MUST_CHECK;

/* The training samples, and the order in which this epoch takes them. */
status_t plan_order(const config_t *config, int64_t epoch, json_t **report_out) MUST_CHECK;

#endif
