#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "launch/bench.h"
#include "trainer/checkpoint.h"

/* --- training -------------------------------------------------------------------------------- */

typedef struct timing { /* of a round: wall and CPU */
    double ms, cpu_ms;
} timing_t;

static timing_t timing_now(void) { return (timing_t){1e3 * clock_s(), 1e3 * clock_cpu_s()}; }

static timing_t timing_since(timing_t begin) {
    timing_t now = timing_now();
    return (timing_t){now.ms - begin.ms, now.cpu_ms - begin.cpu_ms};
}

/* One optimiser step, on data that are there before it is timed; the epochs go on for ever. */
static status_t one_step(trainer_t *t, step_result_t *result_out, timing_t *timing_out) {
    enum { READING_US = 20000 };
    if (t->progress.batch == trainer_batches(t)) {
        t->progress.batch = 0;
        t->progress.epoch++;
    }
    if (t->order_epoch != t->progress.epoch) {
        trainer_read_ahead(t);
        clock_sleep_us(READING_US);
    }
    timing_t begin = timing_now();
    TRY(trainer_step(t, false, result_out));
    *timing_out = timing_since(begin);
    return STATUS_OK;
}

static status_t answer_step(void *context, const char *line, json_t *answer) {
    trainer_t *t = context;
    (void)line;
    step_result_t r;
    timing_t timing = {0};
    TRY(one_step(t, &r, &timing));
    json_t *all =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "ms", timing.ms, "cpu_ms",
                  timing.cpu_ms, "loss", r.loss, "grad_norm", r.grad_norm, "data_wait_ms",
                  r.data_wait_ms, "forward_ms", r.forward_ms, "backward_ms", r.backward_ms,
                  "update_ms", r.update_ms, "reduce_exposed_ms", r.reduce.exposed_ms);
    json_object_update(answer, all);
    json_decref(all);
    return STATUS_OK;
}

enum { PART_STEP, PART_DATA, PART_FORWARD, PART_BACKWARD, PART_UPDATE, PART_COUNT };

static void add_part(bench_t *bench, int part, const double *ms, const char *shape, double flop,
                     double read_bytes, double written_bytes) {
    static const char *const names[PART_COUNT] = {"step", "step.data_wait", "step.forward",
                                                  "step.backward", "step.update"};
    for (int i = 0; i < bench->rounds; i++) {
        bench->ms[i] = ms[part * bench->rounds + i];
    }
    bench_add_work(bench, names[part], shape, flop, read_bytes, written_bytes);
}

/* Work of this rank: the products of its samples; the update reads and writes weights and state. */
static void add_parts(bench_t *bench, const trainer_t *t, const double *ms) {
    double samples = (double)(t->shard_count * t->samples_per_shard);
    double forward = 2.0 * (double)graph_macs(t->graph) * samples;
    double step = trainer_flop_per_sample(t) * samples;
    double weights = (double)sizeof(float) * (double)t->flat.elements / comm_size(bench->comm);
    int states =
        1 + (strcmp(t->config->optimizer.name, "sgd") == 0 ? t->config->optimizer.momentum > 0.0
                                                           : 2); /* and the weights themselves */
    char *shape =
        text_format("%s, %lld x %lld, V=%d", t->config->model.name, (long long)t->config->batch,
                    (long long)t->config->data.window, t->shards);
    add_part(bench, PART_STEP, ms, shape, step, (1 + states) * weights, states * weights);
    add_part(bench, PART_DATA, ms, shape, 0.0, 0.0, 0.0);
    add_part(bench, PART_FORWARD, ms, shape, forward, weights, 0.0);
    add_part(bench, PART_BACKWARD, ms, shape, step - forward, weights, weights);
    add_part(bench, PART_UPDATE, ms, shape, 0.0, (1 + states) * weights, states * weights);
    free(shape);
}

static status_t time_steps(bench_t *bench, trainer_t *t) {
    enum { WARM = 2 };
    double *ms = alloc_zero(PART_COUNT * bench->rounds, sizeof *ms);
    status_t status = STATUS_OK;
    for (int i = -WARM; i < bench->rounds && status == STATUS_OK; i++) {
        step_result_t r;
        timing_t timing = {0};
        status = one_step(t, &r, &timing);
        double parts[PART_COUNT] = {timing.ms, r.data_wait_ms, r.forward_ms, r.backward_ms,
                                    r.update_ms};
        for (int part = 0; part < PART_COUNT && i >= 0; part++) {
            ms[part * bench->rounds + i] = parts[part];
        }
    }
    if (status == STATUS_OK) {
        add_parts(bench, t, ms);
    }
    free(ms);
    return status;
}

static status_t train(bench_t *bench) {
    trainer_t *t = NULL;
    TRY(trainer_open(bench->config, bench->comm, bench->config->data.path, NULL, NULL, true, &t));
    status_t status = trainer_init_weights(t, true);
    if (status == STATUS_OK && arguments_has(bench->arguments, "--interactive")) {
        status = bench_interactive(bench, answer_step, t);
    } else if (status == STATUS_OK) {
        status = time_steps(bench, t);
    }
    trainer_close(t);
    return status;
}

/* --- evaluation ------------------------------------------------------------------------------ */

typedef struct sweep { /* over a split, as many samples at once as the executor takes */
    trainer_t *trainer;
    split_t split; /* test, or train where there is no test sample */
    int64_t samples;
    float *outputs; /* of the first target: [samples, length, columns] */
    int64_t values; /* of one sample */
} sweep_t;

static void keep_outputs(sweep_t *sweep, int64_t done, int64_t samples) {
    const trainer_t *t = sweep->trainer;
    int64_t length = t->config->data.window, columns = sweep->values / length;
    matrix_t fetched = executor_fetch(t->executor, executor_output(t->executor, 0));
    for (int64_t i = 0; i < samples * length; i++) {
        executor_read_row(t->executor, fetched, i,
                          sweep->outputs + done * sweep->values + i * columns);
    }
}

static status_t sweep_once(sweep_t *sweep, timing_t *timing_out) {
    trainer_t *t = sweep->trainer;
    step_scalars_t scalars = {0};
    sample_steps_t steps = {.there = t->batch.there};
    batch_stream_t stream = {.split = sweep->split,
                             .stride = t->batch.slots,
                             .end = sweep->samples,
                             .count = div_up(sweep->samples, t->batch.slots)};
    timing_t begin = timing_now();
    batch_start(&t->batch, &stream);
    for (int64_t done = 0, samples = 0; done < sweep->samples; done += samples) {
        TRY(batch_next(&t->batch, &samples));
        TRY(executor_forward_first(t->executor, samples, steps, &scalars));
        keep_outputs(sweep, done, samples);
    }
    *timing_out = timing_since(begin);
    return STATUS_OK;
}

/* "outputs": those of the last round, too. */
static status_t answer_sweep(void *context, const char *line, json_t *answer) {
    sweep_t *sweep = context;
    timing_t timing = {0};
    TRY(sweep_once(sweep, &timing));
    json_object_set_new(answer, "ms", json_real(timing.ms));
    json_object_set_new(answer, "cpu_ms", json_real(timing.cpu_ms));
    json_object_set_new(answer, "sequences", json_integer(sweep->samples));
    if (strcmp(line, "outputs") == 0) {
        json_t *outputs = json_array();
        for (int64_t i = 0; i < sweep->samples * sweep->values; i++) {
            json_array_append_new(outputs, json_real((double)sweep->outputs[i]));
        }
        json_object_set_new(answer, "outputs", outputs);
    }
    return STATUS_OK;
}

static status_t time_sweeps(bench_t *bench, sweep_t *sweep) {
    const trainer_t *t = sweep->trainer;
    timing_t timing = {0};
    bool folded = false;
    int64_t macs = 0;
    TRY(predictor_describe(t->config, t->dims, &folded, &macs));
    TRY(sweep_once(sweep, &timing));
    for (int i = 0; i < bench->rounds; i++) {
        TRY(sweep_once(sweep, &timing));
        bench->ms[i] = timing.ms / (double)sweep->samples;
    }
    char *shape = text_format("%s, %lld x %lld, one of %lld", t->config->model.name,
                              (long long)t->batch.slots, (long long)t->config->data.window,
                              (long long)sweep->samples);
    double weights = (double)sizeof(float) * (double)t->flat.elements / (double)t->batch.slots;
    bench_add_work(bench, "evaluate", shape, 2.0 * (double)macs, weights, 0.0);
    free(shape);
    return STATUS_OK;
}

static status_t open_for_evaluation(bench_t *bench, trainer_t **trainer_out) {
    const char *path = arguments_value(bench->arguments, "--checkpoint");
    if (path == NULL) {
        TRY(trainer_open(bench->config, bench->comm, bench->config->data.path, NULL, NULL, false,
                         trainer_out));
        return trainer_init_weights(*trainer_out, true);
    }
    checkpoint_t checkpoint = {0};
    status_t status = checkpoint_read(path, &checkpoint);
    TRY(comm_agree(bench->comm, status, NULL));
    status = trainer_open_checkpoint(bench->config, bench->comm, bench->config->data.path,
                                     &checkpoint, trainer_out);
    checkpoint_free(&checkpoint);
    return status;
}

static status_t evaluate(bench_t *bench) {
    sweep_t sweep = {0};
    status_t status = open_for_evaluation(bench, &sweep.trainer);
    if (status == STATUS_OK) {
        const trainer_t *t = sweep.trainer;
        sweep.samples = dataset_sample_count(t->dataset, SPLIT_TEST);
        sweep.split = sweep.samples > 0 ? SPLIT_TEST : SPLIT_TRAIN;
        sweep.samples = dataset_sample_count(t->dataset, sweep.split);
        sweep.values = t->config->data.window * executor_output(t->executor, 0).cols;
        sweep.outputs = alloc_zero(sweep.samples * sweep.values, sizeof *sweep.outputs);
        predictor_load(t->predictor, t->graph, t->flat.offsets, t->weights);
        status = sweep.samples > 0 ? STATUS_OK
                                   : status_fail(STATUS_INPUT, "%s has no test samples",
                                                 bench->config->data.path);
        status = comm_agree(bench->comm, status, NULL);
    }
    if (status == STATUS_OK && arguments_has(bench->arguments, "--interactive")) {
        status = bench_interactive(bench, answer_sweep, &sweep);
    } else if (status == STATUS_OK) {
        status = time_sweeps(bench, &sweep);
    }
    trainer_close(sweep.trainer);
    free(sweep.outputs);
    return status;
}

status_t bench_model(bench_t *bench) {
    if (!arguments_has(bench->arguments, "--interactive")) {
        TRY(comm_agree(bench->comm, bench_limits(bench), "measure limits"));
    }
    TRY(bench_data(bench));
    return arguments_has(bench->arguments, "--evaluate") ? evaluate(bench) : train(bench);
}
