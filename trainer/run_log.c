#include "trainer/run_log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"

enum { LINE_BYTES = 1 << 16 };

struct run_log {
    bool active;
    int error; /* errno of the first write that failed */
    FILE *file;
    char *path;
    char *line;
    int ranks;
    double begin_s, step_begin_s;
    run_view_t view;
};

/* --- opening --------------------------------------------------------------------------------- */

/* Is this event part of what a run that stands at `p` has behind it? Saved before the validation of
 * its step, it validates (again). */
static bool is_past(const json_t *event, const progress_t *p) {
    const char *kind = json_string_value(json_object_get(event, "event"));
    int64_t step = json_integer_value(json_object_get(event, "step"));
    int64_t epoch = json_integer_value(json_object_get(event, "epoch"));
    bool past = kind != NULL && strcmp(kind, "end") != 0 && step <= p->step;
    if (past && strcmp(kind, "valid") == 0 && step == p->step) {
        past = epoch < p->epoch;
    }
    return past;
}

static void recall(run_view_t *view, const json_t *event) {
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (strcmp(kind, "step") == 0) {
        run_view_recall_step(view, json_integer_value(json_object_get(event, "epoch")),
                             json_number_value(json_object_get(event, "loss")));
    } else if (strcmp(kind, "valid") == 0 && json_is_real(json_object_get(event, "selected"))) {
        run_view_recall_valid(view, json_real_value(json_object_get(event, "selected")));
    }
}

/* Always a new file: processes of an earlier start go on writing into the old one. */
static status_t start_file(run_log_t *log, const progress_t *progress) {
    char *text = NULL, *save = NULL;
    size_t bytes = 0;
    if (file_exists(log->path)) {
        TRY(file_read(log->path, &text, &bytes));
    }
    char *kept = alloc_zero((int64_t)bytes + 1, 1), *to = kept;
    for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *event = json_loads(line, 0, NULL);
        if (is_past(event, progress)) {
            size_t length = strlen(line);
            memcpy(to, line, length);
            to[length] = '\n';
            to += length + 1;
            recall(&log->view, event);
        }
        json_decref(event);
    }
    status_t status = file_write_durable(log->path, kept, (size_t)(to - kept));
    free(kept);
    free(text);
    return status;
}

status_t run_log_open(const run_log_config_t *config, run_log_t **log_out) {
    run_log_t *log = alloc_zero(1, sizeof *log);
    log->active = config->active;
    log->ranks = config->ranks;
    log->begin_s = log->step_begin_s = clock_s();
    *log_out = log;
    if (!log->active) {
        return STATUS_OK;
    }
    run_view_open(&log->view, config->config, config->scope, config->progress, config->step_total,
                  config->epoch_total, config->ranks);
    log->line = alloc_zero(LINE_BYTES, 1);
    log->path = text_format("%s/metrics.jsonl", config->directory);
    TRY(start_file(log, config->progress));
    log->file = fopen(log->path, "a");
    if (log->file == NULL) {
        return status_fail_errno(STATUS_FAILED, "cannot write %s", log->path);
    }
    return STATUS_OK;
}

void run_log_close(run_log_t *log) {
    if (log == NULL) {
        return;
    }
    if (log->file != NULL) {
        fclose(log->file);
    }
    free(log->path);
    free(log->line);
    free(log);
}

status_t run_log_sync(run_log_t *log) {
    if (log->active && log->error == 0 && fsync(fileno(log->file)) != 0) {
        log->error = errno;
    }
    errno = log->error;
    return log->error != 0 ? status_fail_errno(STATUS_FAILED, "cannot write %s", log->path)
                           : STATUS_OK;
}

/* --- events ---------------------------------------------------------------------------------- */

static void put(run_log_t *log, size_t *used, const char *format, ...) PRINTF_LIKE(3, 4);
static void put(run_log_t *log, size_t *used, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(log->line + *used, LINE_BYTES - *used, format, arguments);
    va_end(arguments);
    if (wrote > 0) {
        *used = (size_t)min_i64((int64_t)*used + wrote, LINE_BYTES - 2);
    }
}

static void put_ranks(run_log_t *log, size_t *used, const char *name, const double *values,
                      int decimals) {
    put(log, used, ",\"%s\":[", name);
    for (int r = 0; r < log->ranks; r++) {
        put(log, used, "%s%.*f", r > 0 ? "," : "", decimals, values[r]);
    }
    put(log, used, "]");
}

static void put_line(run_log_t *log, const char *line, size_t bytes) {
    if (fwrite(line, 1, bytes, log->file) != bytes || fflush(log->file) != 0) {
        log->error = errno;
    }
}

static void flush_line(run_log_t *log, size_t used) {
    log->line[used] = '\n';
    put_line(log, log->line, used + 1);
}

/* High-water mark of the resident set. */
static double rss_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

void run_log_step(run_log_t *log, const progress_t *p, const step_result_t *r) {
    if (!log->active) {
        return;
    }
    double now = clock_s(), step_s = now - log->step_begin_s;
    double samples_per_s = step_s > 0.0 ? (double)r->samples / step_s : 0.0;
    log->step_begin_s = now;
    size_t used = 0;
    put(log, &used, "{\"event\":\"step\",\"step\":%lld,\"epoch\":%lld,\"loss\":%.17g,\"lr\":%.17g",
        (long long)p->step, (long long)p->epoch, r->loss, r->learning_rate);
    put(log, &used, ",\"grad_norm\":%.17g,\"samples\":%lld,\"samples_per_s\":%.2f", r->grad_norm,
        (long long)r->samples, samples_per_s);
    put(log, &used, ",\"data_wait_ms\":%.3f,\"reduce_ms\":%.3f,\"reduce_exposed_ms\":%.3f",
        r->data_wait_ms, r->reduce.total_ms, r->reduce.exposed_ms);
    put_ranks(log, &used, "rank_samples", r->rank_samples, 0);
    put_ranks(log, &used, "rank_flop", r->rank_flop, 0);
    put_ranks(log, &used, "rank_cpu_s", r->rank_cpu_s, 6);
    put(log, &used, ",\"rss_mb\":%.1f,\"time_s\":%.3f}", rss_mb(), now - log->begin_s);
    flush_line(log, used);
    run_view_step(&log->view, p, r, step_s);
}

void run_log_valid(run_log_t *log, const progress_t *p, const evaluation_t *e,
                   const config_t *config, double selected, bool best) {
    if (!log->active) {
        return;
    }
    char *json = evaluation_json(e, config, "valid");
    json_t *scores = json_loads(json, 0, NULL);
    json_t *event = json_pack("{s:s, s:I, s:I}", "event", "valid", "step", (json_int_t)p->step,
                              "epoch", (json_int_t)p->epoch);
    json_object_update(event, scores);
    json_decref(scores);
    json_object_set_new(event, "selected_on", json_string(select_on_name(config)));
    json_object_set_new(event, "selected", isnan(selected) ? json_null() : json_real(selected));
    json_object_set_new(event, "best", json_boolean(best));
    json_object_set_new(event, "time_s", json_real(clock_s() - log->begin_s));
    char *text = json_dumps(event, JSON_COMPACT), *line = text_format("%s\n", text);
    put_line(log, line, strlen(line));
    free(line);
    run_view_valid(&log->view, p, selected, best);
    json_decref(event);
    free(text);
    free(json);
    log->step_begin_s = clock_s();
}

void run_log_doing(run_log_t *log, const char *what) {
    if (log->active) {
        run_view_doing(&log->view, what);
    }
}

void run_log_epoch(run_log_t *log, const progress_t *p) {
    if (log->active) {
        run_view_epoch(&log->view, p);
    }
}

void run_log_checkpoint(run_log_t *log, const progress_t *p, double save_ms) {
    if (!log->active) {
        return;
    }
    size_t used = 0;
    put(log, &used, "{\"event\":\"checkpoint\",\"step\":%lld,\"epoch\":%lld,\"save_ms\":%.3f",
        (long long)p->step, (long long)p->epoch, save_ms);
    put(log, &used, ",\"time_s\":%.3f}", clock_s() - log->begin_s);
    flush_line(log, used);
    log->step_begin_s = clock_s();
}

void run_log_end(run_log_t *log, const progress_t *p, const char *reason) {
    if (!log->active) {
        return;
    }
    size_t used = 0;
    put(log, &used, "{\"event\":\"end\",\"step\":%lld,\"epoch\":%lld,\"reason\":\"%s\"",
        (long long)p->step, (long long)p->epoch, reason);
    put(log, &used, ",\"rss_mb\":%.1f,\"time_s\":%.3f}", rss_mb(), clock_s() - log->begin_s);
    flush_line(log, used);
    run_view_end(&log->view, p, reason);
}
