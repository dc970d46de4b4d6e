/* bench_share.c - what the kinds of `jmt bench` share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "launch/bench.h"
#include "trainer/random_data.h"

static json_t *curve(const limits_t *limits) {
    json_t *sizes = json_array();
    for (int i = 0; i < LIMITS_SIZES; i++) {
        json_array_append_new(sizes, json_pack("{s:f, s:f, s:f, s:f}", "bytes", limits->bytes[i],
                                               "copy_gb_s", 1e-9 * limits->copy_s[i], "triad_gb_s",
                                               1e-9 * limits->triad_s[i], "read_gb_s",
                                               1e-9 * limits->read_s[i]));
    }
    return sizes;
}

static status_t measure(bench_t *bench) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    if (strcmp(bench->config->backend, "cuda") != 0) {
        return limits_measure((int)bench->config->threads, &bench->limits);
    }
    TRY(trainer_kernels(bench->config, bench->comm, &kernels, &device));
    status_t status = bench_device_limits(kernels, device, &bench->limits);
    device_close(device);
    return status;
}

status_t bench_limits(bench_t *bench) {
    limits_t *limits = &bench->limits;
    TRY(measure(bench));
    json_object_set_new(bench->facts, "limits",
                        json_pack("{s:s, s:i, s:f, s:f, s:o}", "isa", limits->isa, "threads",
                                  limits->threads, "gflop_s", 1e-9 * limits->flop_s, "bf16_gflop_s",
                                  1e-9 * limits->bf16_flop_s, "memory", curve(limits)));
    if (strcmp(bench->config->precision, "bf16") == 0 && limits->bf16_flop_s > 0.0) {
        limits->flop_s = limits->bf16_flop_s; /* of the products, which alone count as flop */
    }
    return STATUS_OK;
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

json_t *bench_add(bench_t *bench, const char *name, const char *shape, double limit_ms) {
    double median = bench_median(bench->ms, bench->rounds);
    json_t *result = json_pack("{s:s, s:s, s:s, s:f, s:f, s:i}", "name", name, "backend",
                               bench->config->backend, "shape", shape, "ms_min", bench->ms[0],
                               "ms_median", median, "rounds", bench->rounds);
    json_t *ratio = limit_ms > 0.0 && median > 0.0 ? json_real(limit_ms / median) : json_null();
    json_object_set_new(result, "limit_ratio", ratio);
    json_array_append_new(bench->results, result);
    return result;
}

void bench_add_work(bench_t *bench, const char *name, const char *shape, double flop,
                    double read_bytes, double written_bytes) {
    double limit_ms = 1e3 * limits_time_s(&bench->limits, flop, read_bytes, written_bytes);
    json_t *result = bench_add(bench, name, shape, limit_ms);
    double median_s = 1e-3 * bench->ms[bench->rounds / 2], bytes = read_bytes + written_bytes;
    if (flop > 0.0) {
        json_object_set_new(result, "gflop_s", json_real(1e-9 * flop / median_s));
    }
    json_object_set_new(result, "gb_s", json_real(1e-9 * bytes / median_s));
    json_object_set_new(
        result, "limit",
        json_string(1e3 * flop / bench->limits.flop_s >= limit_ms ? "arithmetic" : "memory"));
}

/* --- data ------------------------------------------------------------------------------------ */

enum { TRAIN_BATCHES = 4, PATH_BYTES = 512 };

static status_t write_data(bench_t *bench, char path[PATH_BYTES]) {
    const char *parent = getenv("TMPDIR");
    char *directory = text_format("%s/jmt-bench-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL) {
        status_t status =
            status_fail_errno(STATUS_FAILED, "cannot make the directory %s", directory);
        free(directory);
        return status;
    }
    bench->directory = directory;
    snprintf(path, PATH_BYTES, "%s/data", directory);
    return random_data_write(bench->config, TRAIN_BATCHES * bench->config->batch,
                             bench->config->batch, path);
}

status_t bench_data(bench_t *bench) {
    char path[PATH_BYTES] = "";
    config_t *config = bench->config;
    if (config->data.path[0] != '\0') {
        return STATUS_OK;
    }
    status_t status = comm_rank(bench->comm) == 0 ? write_data(bench, path) : STATUS_OK;
    TRY(comm_agree(bench->comm, status, "write random data"));
    TRY(comm_broadcast(bench->comm, path, sizeof path, "share the place of the data"));
    free(config->data.path);
    config->data.path = text_copy(path);
    config->split.valid_fraction = 0.0; /* what is there is to be trained on */
    config->split.folds = 0;
    config->schedule_known = true; /* random numbers have none */
    return STATUS_OK;
}

/* --- turns with a peer ----------------------------------------------------------------------- */

enum { LINE_BYTES = 64 };

/* The same line on all ranks; "" at the end. */
static status_t next_line(bench_t *bench, char line[LINE_BYTES]) {
    memset(line, 0, LINE_BYTES);
    if (comm_rank(bench->comm) == 0 && fgets(line, LINE_BYTES, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
    }
    return comm_broadcast(bench->comm, line, LINE_BYTES, "read the next line");
}

status_t bench_interactive(bench_t *bench, bench_round_t *round, void *context) {
    static const double patience_s = 86400.0; /* the peer's turn takes what it takes */
    char line[LINE_BYTES];
    comm_set_timeout(bench->comm, patience_s);
    TRY(next_line(bench, line));
    while (line[0] != '\0' && strcmp(line, "end") != 0) {
        json_t *answer = json_object();
        status_t status = round(context, line, answer);
        if (status == STATUS_OK && comm_rank(bench->comm) == 0) {
            char *text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
            printf("%s\n", text);
            fflush(stdout);
            free(text);
        }
        json_decref(answer);
        TRY(status);
        TRY(next_line(bench, line));
    }
    return STATUS_OK;
}
