#include "trainer/step_sums.h"

#include <stdlib.h>

#include "kernels/base/bytes.h"

static int64_t doubles_of(const step_sums_t *s, int shards) {
    return (int64_t)shards * s->targets * LOSS_SUMS + WORD_COUNT;
}

status_t step_sums_open(const trainer_t *t, step_sums_t **sums_out) {
    step_sums_t *s = alloc_zero(1, sizeof *s);
    s->ranks = comm_size(t->comm);
    s->shards = t->shards;
    s->targets = t->config->target_count;
    s->lengths = alloc_zero(s->ranks, sizeof *s->lengths);
    s->offsets = alloc_zero(s->ranks, sizeof *s->offsets);
    size_t total = 0;
    for (int r = 0; r < s->ranks; r++) {
        tree_node_t run = tree_run(s->shards, r, s->ranks);
        s->offsets[r] = total;
        s->lengths[r] = (size_t)doubles_of(s, run.end - run.begin) * sizeof(double);
        total += s->lengths[r];
        if (r == comm_rank(t->comm)) {
            s->mine_shards = run.end - run.begin;
        }
    }
    *sums_out = s;
    TRY(mirror_open(t->device, (size_t)doubles_of(s, s->mine_shards) * sizeof *s->mine, "loss sums",
                    &s->sums));
    s->mine = s->sums.host;
    s->all = alloc_zero((int64_t)total, 1);
    s->column = alloc_zero(s->shards, sizeof *s->column);
    s->rank_samples = alloc_zero(s->ranks, sizeof *s->rank_samples);
    s->rank_flop = alloc_zero(s->ranks, sizeof *s->rank_flop);
    s->rank_cpu_s = alloc_zero(s->ranks, sizeof *s->rank_cpu_s);
    return STATUS_OK;
}

void step_sums_close(step_sums_t *s) {
    if (s == NULL) {
        return;
    }
    mirror_close(&s->sums);
    free(s->all);
    free(s->column);
    free(s->rank_samples);
    free(s->rank_flop);
    free(s->rank_cpu_s);
    free(s->lengths);
    free(s->offsets);
    free(s);
}

double *step_sums_device(step_sums_t *s, int target) {
    return (double *)s->sums.there + (int64_t)target * LOSS_SUMS;
}

int64_t step_sums_stride(const step_sums_t *s) { return (int64_t)s->targets * LOSS_SUMS; }

double *step_sums_words(step_sums_t *s) {
    return s->mine + doubles_of(s, s->mine_shards) - WORD_COUNT;
}

void step_sums_read(step_sums_t *s) {
    mirror_read_part(&s->sums, 0, (size_t)(s->mine_shards * step_sums_stride(s)) * sizeof *s->mine);
}

status_t step_sums_gather(step_sums_t *s, comm_t *comm) {
    TRY(comm_all_gather_v(comm, s->mine, s->all, s->lengths, s->offsets, "loss sums"));
    for (int r = 0; r < s->ranks; r++) {
        s->rank_samples[r] = step_sums_word(s, r, WORD_SAMPLES);
        s->rank_flop[r] = step_sums_word(s, r, WORD_FLOP);
        s->rank_cpu_s[r] = step_sums_word(s, r, WORD_CPU_S);
    }
    return STATUS_OK;
}

static const double *block_of(const step_sums_t *s, int rank) {
    return s->all + s->offsets[rank] / sizeof(double);
}

double step_sums_word(const step_sums_t *s, int rank, int word) {
    return block_of(s, rank)[s->lengths[rank] / sizeof(double) - WORD_COUNT + (size_t)word];
}

void step_sums_total(step_sums_t *s, int target, double total_out[LOSS_SUMS]) {
    for (int k = 0; k < LOSS_SUMS; k++) {
        for (int r = 0; r < s->ranks; r++) {
            tree_node_t run = tree_run(s->shards, r, s->ranks);
            for (int shard = run.begin; shard < run.end; shard++) {
                int64_t at = ((int64_t)(shard - run.begin) * s->targets + target) * LOSS_SUMS + k;
                s->column[shard] = block_of(s, r)[at];
            }
        }
        total_out[k] = tree_sum(s->column, s->shards);
    }
}
