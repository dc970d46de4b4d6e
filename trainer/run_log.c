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
#include "kernels/base/log.h"

enum { LINE_BYTES = 1 << 16 };

struct run_log {
    bool active, terminal, failed;
    FILE *file;
    char *path;
    char *line;
    int ranks;
    int64_t step_total;
    double begin_s, step_begin_s, shown_s;
    char last_metric[64];
};

/* --- opening -------------------------------------------------------------------------------------- */

/* Keeps the lines whose "step" is at most `step`: what the checkpoint remembers. */
static status_t drop_future(const char *path, int64_t step) {
    char *text = NULL;
    size_t bytes = 0;
    TRY(file_read(path, &text, &bytes));
    char *kept = alloc_zero((int64_t)bytes + 1, 1), *to = kept, *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *event = json_loads(line, 0, NULL);
        const char *kind = json_string_value(json_object_get(event, "event"));
        bool past = event != NULL && kind != NULL && strcmp(kind, "end") != 0 &&
                    json_integer_value(json_object_get(event, "step")) <= step;
        json_decref(event);
        if (past) {
            size_t length = strlen(line);
            memcpy(to, line, length);
            to[length] = '\n';
            to += length + 1;
        }
    }
    status_t status = file_write_durable(path, kept, (size_t)(to - kept));
    free(kept);
    free(text);
    return status;
}

status_t run_log_open(const char *directory, bool active, int64_t step, int64_t step_total,
                      int ranks, run_log_t **log_out) {
    run_log_t *log = alloc_zero(1, sizeof *log);
    log->active = active;
    log->ranks = ranks;
    log->step_total = step_total;
    log->begin_s = log->step_begin_s = clock_s();
    *log_out = log;
    if (!active) {
        return STATUS_OK;
    }
    log->terminal = isatty(STDERR_FILENO) == 1;
    log->line = alloc_zero(LINE_BYTES, 1);
    log->path = text_format("%s/metrics.jsonl", directory);
    if (file_exists(log->path)) {
        TRY(drop_future(log->path, step));
    }
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

status_t run_log_status(const run_log_t *log) {
    return log->failed ? status_fail(STATUS_FAILED, "cannot write %s: %s", log->path,
                                     strerror(ENOSPC))
                       : STATUS_OK;
}

/* --- events --------------------------------------------------------------------------------------- */

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

static void flush_line(run_log_t *log, size_t used) {
    log->line[used] = '\n';
    size_t wrote = fwrite(log->line, 1, used + 1, log->file);
    log->failed |= wrote != used + 1 || fflush(log->file) != 0;
}

/* High-water mark of the resident set. */
static double rss_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

static void show_step(run_log_t *log, const progress_t *p, const step_result_t *r,
                      double samples_per_s) {
    double now = clock_s();
    double left = p->step > 0 && log->step_total > p->step
                      ? (now - log->begin_s) / (double)p->step * (double)(log->step_total - p->step)
                      : 0.0;
    if (log->terminal && now - log->shown_s > 0.1) {
        enum { WIDTH = 24 };
        char bar[WIDTH + 1];
        int64_t total = log->step_total > 0 ? log->step_total : 1;
        int64_t done = min_i64(WIDTH, WIDTH * p->step / total);
        memset(bar, '.', WIDTH);
        memset(bar, '#', (size_t)done);
        bar[WIDTH] = '\0';
        fprintf(stderr, "\r[%s] %lld/%lld loss %.4f %s %.0f samples/s wait %.1f ms left %.0f s\x1b[K",
                bar, (long long)p->step, (long long)log->step_total, r->loss, log->last_metric,
                samples_per_s, r->data_wait_ms, left);
        log->shown_s = now;
    } else if (!log->terminal && now - log->shown_s > 5.0) {
        log_info("step %lld/%lld epoch %lld loss %.4f %s %.0f samples/s wait %.1f ms left %.0f s",
                 (long long)p->step, (long long)log->step_total, (long long)p->epoch, r->loss,
                 log->last_metric, samples_per_s, r->data_wait_ms, left);
        log->shown_s = now;
    }
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
    show_step(log, p, r, samples_per_s);
}

void run_log_valid(run_log_t *log, const progress_t *p, const evaluation_t *e,
                   const config_t *config, double selected, bool best) {
    if (!log->active) {
        return;
    }
    char *json = evaluation_json(e, config, "valid");
    json_t *event = json_loads(json, 0, NULL);
    json_object_set_new(event, "event", json_string("valid"));
    json_object_set_new(event, "step", json_integer(p->step));
    json_object_set_new(event, "epoch", json_integer(p->epoch));
    json_object_set_new(event, "selected_on", json_string(select_on_name(config)));
    json_object_set_new(event, "selected", isnan(selected) ? json_null() : json_real(selected));
    json_object_set_new(event, "best", json_boolean(best));
    json_object_set_new(event, "time_s", json_real(clock_s() - log->begin_s));
    char *text = json_dumps(event, JSON_COMPACT);
    log->failed |= fprintf(log->file, "%s\n", text) < 0 || fflush(log->file) != 0;
    snprintf(log->last_metric, sizeof log->last_metric, "valid %s %.4f%s",
             select_on_name(config), selected, best ? "*" : "");
    json_decref(event);
    free(text);
    free(json);
    log->step_begin_s = clock_s();
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
    if (log->terminal) {
        fprintf(stderr, "\n");
    }
    log_info("%s at step %lld, epoch %lld, after %.1f s; %s", reason, (long long)p->step,
             (long long)p->epoch, clock_s() - log->begin_s,
             log->last_metric[0] != '\0' ? log->last_metric : "no validation");
}
