#include "trainer/step_sums.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"

static int shards_of(const step_sums_t *s, int rank) {
    tree_node_t run = tree_run(s->shards, rank, s->ranks);
    return run.end - run.begin;
}

/* Where a rank's words are. */
static int64_t words_at(const step_sums_t *s, int rank) { return s->begins[rank + 1] - WORD_COUNT; }

static status_t open_memory(step_sums_t *s) {
    int64_t stride = step_sums_stride(s), count = s->begins[s->ranks] + stride;
    size_t told = (size_t)count * sizeof(double) + sizeof(step_now_t);
    void *memory = NULL;
    TRY(mirror_open(s->device, told, "loss sums", &s->told));
    TRY(mirror_open(s->device, (size_t)s->ranks * sizeof(int64_t), "loss sums", &s->failed_at));
    for (int r = 0; r < s->ranks; r++) {
        ((int64_t *)s->failed_at.host)[r] = words_at(s, r) + WORD_FAILED;
    }
    mirror_write(&s->failed_at);
    TRY(s->device->alloc(s->device, (size_t)(s->shards * stride) * sizeof(double), "loss sums",
                         &memory));
    s->sums = memory;
    return STATUS_OK;
}

status_t step_sums_open(const trainer_t *t, step_sums_t **sums_out) {
    step_sums_t *s = alloc_zero(1, sizeof *s);
    s->rank = comm_rank(t->comm);
    s->ranks = comm_size(t->comm);
    s->shards = t->shards;
    s->targets = t->config->target_count;
    s->kernels = t->kernels;
    s->device = t->device;
    s->begins = alloc_zero(s->ranks + 1, sizeof *s->begins);
    for (int r = 0; r < s->ranks; r++) {
        s->begins[r + 1] = s->begins[r] + shards_of(s, r) * step_sums_stride(s) + WORD_COUNT;
    }
    s->rank_samples = alloc_zero(s->ranks, sizeof *s->rank_samples);
    s->rank_flop = alloc_zero(s->ranks, sizeof *s->rank_flop);
    s->rank_cpu_s = alloc_zero(s->ranks, sizeof *s->rank_cpu_s);
    *sums_out = s;
    return open_memory(s);
}

void step_sums_close(step_sums_t *s) {
    if (s == NULL) {
        return;
    }
    mirror_close(&s->told);
    mirror_close(&s->failed_at);
    s->device->release(s->device, s->sums);
    free(s->begins);
    free(s->rank_samples);
    free(s->rank_flop);
    free(s->rank_cpu_s);
    free(s);
}

int64_t step_sums_stride(const step_sums_t *s) { return (int64_t)s->targets * LOSS_SUMS; }

double *step_sums_device(step_sums_t *s, int target) {
    return (double *)s->told.there + s->begins[s->rank] + (int64_t)target * LOSS_SUMS;
}

double *step_sums_device_total(step_sums_t *s, int target) {
    return (double *)s->told.there + s->begins[s->ranks] + (int64_t)target * LOSS_SUMS;
}

static size_t now_at(const step_sums_t *s) {
    return (size_t)(s->begins[s->ranks] + step_sums_stride(s)) * sizeof(double);
}

step_now_t *step_sums_now(step_sums_t *s) { return (void *)((char *)s->told.host + now_at(s)); }

step_now_t *step_sums_device_now(step_sums_t *s) {
    return (void *)((char *)s->told.there + now_at(s));
}

void step_sums_write_now(step_sums_t *s) {
    mirror_write_part(&s->told, now_at(s), sizeof(step_now_t));
}

double *step_sums_words(step_sums_t *s) { return (double *)s->told.host + words_at(s, s->rank); }

static void poison(step_sums_t *s) {
    int64_t at = s->begins[s->rank];
    for (int i = 0; i < LOSS_SUMS; i++) {
        ((double *)s->told.host)[at + i] = NAN;
    }
    s->poisoned = false;
}

status_t step_sums_gather(step_sums_t *s, reduce_t *reduce) {
    double *told = s->told.there, *to = s->sums;
    mirror_write_part(&s->told, (size_t)words_at(s, s->rank) * sizeof *told,
                      WORD_COUNT * sizeof *told);
    if (s->poisoned) {
        poison(s);
    }
    TRY(reduce_gather(reduce, told, s->begins, "loss sums"));
    for (int r = 0; r < s->ranks; r++) {
        int64_t count = shards_of(s, r) * step_sums_stride(s);
        s->device->copy(s->device, to, told + s->begins[r], (size_t)count * sizeof *told);
        to += count;
    }
    s->kernels->sums_total(s->device, PASS_BACKWARD_DATA, step_sums_stride(s), s->shards, s->sums,
                           step_sums_device_total(s, 0));
    return STATUS_OK;
}

void step_sums_judge(step_sums_t *s, judge_call_t *call_out) {
    call_out->totals = step_sums_device_total(s, 0);
    call_out->words = s->told.there;
    call_out->failed_at = s->failed_at.there;
    call_out->rank_count = s->ranks;
    call_out->now = step_sums_device_now(s);
}

void step_sums_read(step_sums_t *s) {
    mirror_read(&s->told);
    for (int r = 0; r < s->ranks; r++) {
        s->rank_samples[r] = step_sums_word(s, r, WORD_SAMPLES);
        s->rank_flop[r] = step_sums_word(s, r, WORD_FLOP);
        s->rank_cpu_s[r] = step_sums_word(s, r, WORD_CPU_S);
    }
}

double step_sums_word(const step_sums_t *s, int rank, int word) {
    return ((const double *)s->told.host)[words_at(s, rank) + word];
}
