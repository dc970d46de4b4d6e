#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "launch/bench.h"

enum { BLOCK_BYTES = 1 << 20 };

/* --- plain reading ---------------------------------------------------------------------------- */

static status_t read_file(const char *path, char *block, double *bytes) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot open %s", path);
    }
    int64_t at = 0;
    ssize_t got = 0;
    while ((got = pread(file, block, BLOCK_BYTES, at)) > 0) {
        at += got;
    }
    close(file);
    *bytes += (double)at;
    return got == 0 ? STATUS_OK : status_fail_errno(STATUS_FAILED, "cannot read %s", path);
}

static status_t read_all(const char *directory, char *const *names, int count, char *block,
                         double *bytes_out) {
    *bytes_out = 0.0;
    for (int i = 0; i < count; i++) {
        char *path = text_format("%s/%s", directory, names[i]);
        status_t status = read_file(path, block, bytes_out);
        free(path);
        TRY(status);
    }
    return STATUS_OK;
}

/* Every byte of every file, in blocks, from the page cache. rate_out: bytes a second. */
static status_t time_plain(bench_t *bench, const char *directory, double *rate_out) {
    char **names = NULL;
    int count = 0;
    TRY(dir_list(directory, &names, &count));
    char *block = alloc_aligned(BLOCK_BYTES);
    double bytes = 0.0;
    status_t status = read_all(directory, names, count, block, &bytes);
    for (int i = 0; i < bench->rounds && status == STATUS_OK; i++) {
        double begin_s = clock_s();
        status = read_all(directory, names, count, block, &bytes);
        bench->ms[i] = 1e3 * (clock_s() - begin_s);
    }
    if (status == STATUS_OK) {
        char *shape = text_format("%.1f MB in %d files", 1e-6 * bytes, count);
        bench_add_work(bench, "pread", shape, 0.0, bytes, bytes);
        *rate_out = 1e3 * bytes / bench_median(bench->ms, bench->rounds);
        free(shape);
    }
    free(block);
    names_free(names, count);
    return status;
}

/* --- samples ---------------------------------------------------------------------------------- */

static double sample_bytes(const trainer_t *t) {
    double bytes = 0.0;
    for (int m = 0; m < t->modality_count; m++) {
        bytes += (double)t->dims[m] * sizeof(float) + 1.0;
    }
    return (double)t->config->data.window *
           (bytes + (double)t->config->target_count * (double)sizeof(float));
}

/* One epoch as the trainer reads it: checked, standardised, in the executor's inputs. */
static status_t read_epoch(trainer_t *t, int64_t samples) {
    batch_stream_t stream = {.split = SPLIT_TRAIN,
                             .stride = t->batch.slots,
                             .end = samples,
                             .count = div_up(samples, t->batch.slots)};
    batch_start(&t->batch, &stream);
    for (int64_t done = 0, got = 0; done < samples; done += got) {
        TRY(batch_next(&t->batch, &got));
        t->device->synchronize(t->device);
    }
    return STATUS_OK;
}

static status_t read_one_by_one(trainer_t *t, int64_t samples) {
    for (int64_t s = 0; s < samples; s++) {
        TRY(batch_fill(&t->batch, &t->batch.direct, SPLIT_TRAIN, s % t->batch.slots, s));
    }
    return STATUS_OK;
}

/* rate: of plain reading, which is the limit here. */
static status_t time_samples(bench_t *bench, trainer_t *t, const char *name,
                             status_t (*read)(trainer_t *t, int64_t samples), double rate) {
    int64_t samples = dataset_sample_count(t->dataset, SPLIT_TRAIN);
    double bytes = sample_bytes(t) * (double)samples;
    TRY(read(t, samples));
    for (int i = 0; i < bench->rounds; i++) {
        double begin_s = clock_s();
        TRY(read(t, samples));
        bench->ms[i] = 1e3 * (clock_s() - begin_s);
    }
    char *shape = text_format("%lld samples, %.1f MB", (long long)samples, 1e-6 * bytes);
    json_t *result = bench_add(bench, name, shape, 1e3 * bytes / rate);
    double median_ms = bench->ms[bench->rounds / 2];
    json_object_set_new(result, "gb_s", json_real(1e-6 * bytes / median_ms));
    free(shape);
    return STATUS_OK;
}

status_t bench_io(bench_t *bench) {
    trainer_t *t = NULL;
    double rate = 0.0;
    TRY(comm_agree(bench->comm, bench_limits(bench), "measure limits"));
    TRY(bench_data(bench));
    TRY(comm_agree(bench->comm, time_plain(bench, bench->config->data.path, &rate), NULL));
    TRY(trainer_open(bench->config, bench->comm, bench->config->data.path, NULL, NULL, false, &t));
    status_t status = time_samples(bench, t, "batches", read_epoch, rate);
    batch_stop(&t->batch);
    if (status == STATUS_OK) {
        status = time_samples(bench, t, "samples", read_one_by_one, rate);
    }
    trainer_close(t);
    return comm_agree(bench->comm, status, NULL);
}
