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
    bool active, terminal;
    int error; /* errno of the first write that failed */
    FILE *file;
    char *path;
    char *line;
    int ranks;
    int64_t step_first, step_total;
    double begin_s, step_begin_s, shown_s;
    char last_metric[64];
};

/* --- opening --------------------------------------------------------------------------------- */

/* Is this line part of what a run that stands at `p` has behind it? Saved before the validation of
 * its step, it validates (again). */
static bool is_past(const char *line, const progress_t *p) {
    json_t *event = json_loads(line, 0, NULL);
    const char *kind = json_string_value(json_object_get(event, "event"));
    int64_t step = json_integer_value(json_object_get(event, "step"));
    int64_t epoch = json_integer_value(json_object_get(event, "epoch"));
    bool past = kind != NULL && strcmp(kind, "end") != 0 && step <= p->step;
    if (past && strcmp(kind, "valid") == 0 && step == p->step) {
        past = epoch < p->epoch;
    }
    json_decref(event);
    return past;
}

/* Always a new file: processes of an earlier start go on writing into the old one. */
static status_t start_file(const char *path, const progress_t *progress) {
    char *text = NULL, *save = NULL;
    size_t bytes = 0;
    if (file_exists(path)) {
        TRY(file_read(path, &text, &bytes));
    }
    char *kept = alloc_zero((int64_t)bytes + 1, 1), *to = kept;
    for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (is_past(line, progress)) {
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

status_t run_log_open(const char *directory, bool active, const progress_t *progress,
                      int64_t step_total, int ranks, run_log_t **log_out) {
    run_log_t *log = alloc_zero(1, sizeof *log);
    log->active = active;
    log->ranks = ranks;
    log->step_first = progress->step;
    log->step_total = step_total;
    log->begin_s = log->step_begin_s = log->shown_s = clock_s();
    *log_out = log;
    if (!active) {
        return STATUS_OK;
    }
    log->terminal = isatty(STDERR_FILENO) == 1;
    log->line = alloc_zero(LINE_BYTES, 1);
    log->path = text_format("%s/metrics.jsonl", directory);
    TRY(start_file(log->path, progress));
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

static void show_step(run_log_t *log, const progress_t *p, const step_result_t *r,
                      double samples_per_s) {
    double now = clock_s();
    double done_steps = (double)(p->step - log->step_first);
    double left = done_steps > 0.0 && log->step_total > p->step
                      ? (now - log->begin_s) / done_steps * (double)(log->step_total - p->step)
                      : 0.0;
    if (log->terminal && now - log->shown_s > 0.1) {
        enum { WIDTH = 24 };
        char bar[WIDTH + 1];
        int64_t total = log->step_total > 0 ? log->step_total : 1;
        int64_t done = min_i64(WIDTH, WIDTH * p->step / total);
        memset(bar, '.', WIDTH);
        memset(bar, '#', (size_t)done);
        bar[WIDTH] = '\0';
        fprintf(stderr,
                "\r[%s] %lld/%lld loss %.4f %s %.0f samples/s wait %.1f ms left %.0f s\x1b[K", bar,
                (long long)p->step, (long long)log->step_total, r->loss, log->last_metric,
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
    snprintf(log->last_metric, sizeof log->last_metric, "valid %s %.4f%s", select_on_name(config),
             selected, best ? "*" : "");
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
