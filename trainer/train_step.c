/* train_step.c - one optimiser step; see the picture in trainer.h. */
#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "trainer/loss.h"
#include "trainer/schedule.h"
#include "trainer/step_sums.h"

_Static_assert((int)CONFIG_TARGETS_MAX <= (int)LOSSES_MAX, "a step is judged by all its losses");

/* What falls on this rank. */
void trainer_read_ahead(trainer_t *t) {
    const config_t *config = t->config;
    if (t->order_epoch == t->progress.epoch) {
        return;
    }
    batch_stop(&t->batch); /* it reads the order */
    sample_order_epoch(t->sample_order, t->progress.epoch, t->train_count, t->order);
    t->order_epoch = t->progress.epoch;
    batch_stream_t stream = {.split = SPLIT_TRAIN,
                             .order = t->order,
                             .begin = t->progress.batch * config->batch +
                                      (int64_t)t->shard_first * t->samples_per_shard,
                             .stride = config->batch,
                             .end = t->train_count,
                             .count = trainer_batches(t) - t->progress.batch,
                             .modality_dropout = config->model.modality_dropout,
                             .augments = true,
                             .seed = (uint64_t)config->seed,
                             .step = (uint64_t)t->progress.step};
    batch_start(&t->batch, &stream);
}

static status_t next_batch(trainer_t *t, int64_t *samples_out) {
    *samples_out = 0;
    trainer_read_ahead(t);
    return batch_next(&t->batch, samples_out);
}

/* Loss of target i on all local shards; d_x is where its gradient goes. */
static loss_call_t target_loss(const trainer_t *t, int target) {
    loss_call_t call = loss_call_of(t->config, &t->target_fit, target);
    call.device = t->device;
    call.x = executor_output(t->executor, target);
    call.d_x = executor_output_gradient(t->executor, target);
    call.target = batch_device_target(&t->batch, target);
    call.shard_end = t->shard_count;
    call.sums_stride = step_sums_stride(t->sums);
    return call;
}

static void local_sums(trainer_t *t) {
    for (int i = 0; i < t->config->target_count; i++) {
        loss_call_t call = target_loss(t, i);
        t->kernels->loss_sums(&call, step_sums_device(t->sums, i));
    }
}

static void loss_gradients(trainer_t *t) {
    for (int i = 0; i < t->config->target_count; i++) {
        loss_call_t call = target_loss(t, i);
        t->kernels->loss_gradient(&call, step_sums_device_total(t->sums, i));
    }
}

static status_t unit_done(void *context, int unit) {
    trainer_t *t = context;
    int bucket = t->flat.bucket_after_unit[unit];
    return bucket >= 0 ? reduce_publish(t->reduce, bucket) : STATUS_OK;
}

/* All ranks see the same words, so all leave together or none. */
static status_t check_ranks(trainer_t *t, status_t mine, bool *stop_out) {
    bool failed = false;
    *stop_out = false;
    for (int r = 0; r < comm_size(t->comm); r++) {
        failed |= step_sums_word(t->sums, r, WORD_FAILED) != 0.0;
        *stop_out |= step_sums_word(t->sums, r, WORD_STOP) != 0.0;
    }
    return failed ? comm_agree(t->comm, mine, "read batch") : STATUS_OK;
}

static status_t check_finite(trainer_t *t, double value, const char *what) {
    if (isfinite(value)) {
        return STATUS_OK;
    }
    status_t status =
        status_fail(STATUS_FAILED,
                    "the %s is not finite at step %lld; lower "
                    "optimizer.learning_rate, set optimizer.clip_norm, or check the data",
                    what, (long long)t->progress.step + 1);
    return comm_agree(t->comm, status, "training step");
}

/* Milliseconds since the last part of the step began; the next one begins. */
static double part_ms(double *begin_s) {
    double now_s = clock_s(), ms = 1e3 * (now_s - *begin_s);
    *begin_s = now_s;
    return ms;
}

/* A part of the step as a slice of the trace; a step that fails has no timeline. */
static void part_begins(trainer_t *t, const char *name) { trace_begin(t->trace, TRACK_MAIN, name); }

static status_t part_ends(trainer_t *t, status_t status) {
    trace_end(t->trace, TRACK_MAIN);
    return status;
}

/* On the host, whose ranks share the weights, the own sums of the loss; on devices a weight. */
void trainer_poison(trainer_t *t) {
    if (t->device->host) {
        t->sums->poisoned = true;
        return;
    }
    trainer_read_state(t);
    t->weights[0] = NAN;
    trainer_write_state(t);
}

/* --- what every step calls alike, on what lies on the device ---------------------------------- */

static status_t losses(trainer_t *t) {
    local_sums(t);
    TRY(step_sums_gather(t->sums, t->reduce));
    loss_gradients(t);
    return STATUS_OK;
}

static status_t forward(trainer_t *t, int64_t samples, const step_scalars_t *scalars) {
    part_begins(t, "forward");
    step_sums_write_now(t->sums);
    sample_steps_t steps = {t->batch.there, t->batch.labelled};
    TRY(part_ends(t, executor_forward_first(t->executor, samples, steps, scalars)));
    part_begins(t, "loss");
    return part_ends(t, losses(t));
}

static status_t backward(trainer_t *t, const step_scalars_t *scalars) {
    part_begins(t, "backward");
    return part_ends(t, executor_backward(t->executor, scalars, unit_done, t));
}

static status_t judge(trainer_t *t, judge_call_t *call) {
    TRY(optimizer_sum_squares(t->optimizer));
    optimizer_judge(t->optimizer, call);
    return STATUS_OK;
}

/* A step that has failed on some rank, or is not finite, is judged so and changes nothing, which
 * nobody has to wait for. */
static status_t apply(trainer_t *t) {
    loss_call_t calls[CONFIG_TARGETS_MAX];
    judge_call_t call = {.losses = calls, .loss_count = t->config->target_count};
    for (int i = 0; i < call.loss_count; i++) {
        calls[i] = target_loss(t, i);
    }
    step_sums_judge(t->sums, &call);
    part_begins(t, "finish reduction");
    TRY(part_ends(t, reduce_finish(t->reduce)));
    part_begins(t, "loss and norm");
    TRY(part_ends(t, judge(t, &call)));
    part_begins(t, "update");
    optimizer_update(t->optimizer, call.now);
    TRY(part_ends(t, STATUS_OK));
    part_begins(t, "share weights");
    return part_ends(t, reduce_share(t->reduce));
}

/* Collective, as all ranks then replay. */
static status_t record(trainer_t *t, const step_scalars_t *scalars) {
    const device_recorder_t *recorder = t->device->recorder;
    recorder->begin(t->device);
    status_t status = forward(t, t->batch.slots, scalars);
    status = status == STATUS_OK ? backward(t, scalars) : status;
    status = status == STATUS_OK ? apply(t) : status;
    status_t ended = recorder->end(t->device, status == STATUS_OK ? &t->recording : NULL);
    return comm_agree(t->comm, status == STATUS_OK ? ended : status, "keep a step");
}

/* The last batch of an epoch may have fewer samples. All ranks answer the same. */
static bool is_whole(const trainer_t *t) {
    return (t->progress.batch + 1) * t->config->batch <= t->train_count;
}

/* Who watches sees each call. */
static bool replays(const trainer_t *t) {
    return t->device->recorder != NULL && t->has_stepped && is_whole(t) && !trace_keeps(t->trace);
}

/* Where the device records, a step is called, the next whole one recorded, and that replayed from
 * then on. */
static status_t compute(trainer_t *t, int64_t samples, step_result_t *result, double *begin_s) {
    step_scalars_t scalars = {.seed = (uint64_t)t->config->seed,
                              .step = (uint64_t)t->progress.step,
                              .now = step_sums_device_now(t->sums),
                              .shard_first = t->shard_first,
                              .training = true};
    if (replays(t)) {
        if (t->recording == NULL) {
            TRY(record(t, &scalars));
        }
        t->device->recorder->replay(t->device, t->recording);
        result->forward_ms = part_ms(begin_s);
    } else {
        TRY(forward(t, samples, &scalars));
        result->forward_ms = part_ms(begin_s);
        TRY(backward(t, &scalars));
        result->backward_ms = part_ms(begin_s);
        TRY(apply(t));
        result->reduce = reduce_last_times(t->reduce); /* a replay does not say when */
    }
    t->has_stepped = t->has_stepped || is_whole(t); /* in others a rank may have called nothing */
    return STATUS_OK;
}

/* The one place of a step where the host waits for the device. */
static status_t see(trainer_t *t, status_t mine, step_result_t *result) {
    const step_now_t *now = step_sums_now(t->sums);
    TRY(reduce_wait(t->reduce));
    step_sums_read(t->sums);
    TRY(check_ranks(t, mine, &result->stop));
    result->loss = now->loss;
    result->grad_norm = now->norm;
    result->learning_rate = now->learning_rate;
    TRY(check_finite(t, now->loss, "loss"));
    TRY(check_finite(t, now->norm, "gradient norm"));
    REQUIRE(now->applies != 0);
    optimizer_applied(t->optimizer);
    return STATUS_OK;
}

/* What this rank says of itself to all, and what all know of the step. */
static void tell(trainer_t *t, status_t mine, bool stop, int64_t samples) {
    double *words = step_sums_words(t->sums);
    words[WORD_FAILED] = mine != STATUS_OK;
    words[WORD_STOP] = stop;
    words[WORD_SAMPLES] = (double)samples;
    words[WORD_FLOP] = (double)executor_computes(t->executor, samples) * trainer_flop_per_sample(t);
    words[WORD_CPU_S] = clock_cpu_s() - comm_wait_cpu_s(t->comm);
    step_now_t *now = step_sums_now(t->sums);
    now->step = (uint64_t)t->progress.step;
    double rate = schedule_learning_rate(t->config, t->progress.step, t->progress.epoch);
    optimizer_begin(t->optimizer, rate, now);
}

static status_t step(trainer_t *t, bool stop, step_result_t *result) {
    double begin_s = clock_s();
    int64_t samples = 0;
    part_begins(t, "wait for data");
    status_t mine = part_ends(t, next_batch(t, &samples));
    result->data_wait_ms = part_ms(&begin_s);
    mine = mine == STATUS_OK ? t->device->check(t->device) : mine;
    tell(t, mine, stop, samples);
    TRY(compute(t, samples, result, &begin_s));
    batch_look_ahead(&t->batch);
    part_begins(t, "check");
    TRY(part_ends(t, see(t, mine, result)));
    result->update_ms = part_ms(&begin_s);
    return STATUS_OK;
}

status_t trainer_step(trainer_t *t, bool stop, step_result_t *result_out) {
    step_result_t result = {0};
    trace_begin_number(t->trace, TRACK_MAIN, "step", "step", t->progress.step + 1);
    TRY(part_ends(t, step(t, stop, &result)));
    t->progress.step++;
    t->progress.batch++;
    for (int r = 0; r < comm_size(t->comm); r++) {
        result.samples += (int64_t)t->sums->rank_samples[r];
    }
    result.rank_samples = t->sums->rank_samples;
    result.rank_flop = t->sums->rank_flop;
    result.rank_cpu_s = t->sums->rank_cpu_s;
    *result_out = result;
    return STATUS_OK;
}
