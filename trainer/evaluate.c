#include "trainer/evaluate.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/work.h"
#include "trainer/evaluation_post.h"
#include "trainer/loss.h"
#include "trainer/models.h"

/* --- predicting ------------------------------------------------------------------------------ */

/* The first `samples` of the executor's predictions and labels go behind those already there. */
static void keep_outputs(const batch_t *batch, int64_t done, int64_t samples,
                         evaluation_t *evaluation) {
    for (int t = 0; t < evaluation->target_count; t++) {
        matrix_t output = executor_output(batch->executor, t);
        matrix_t fetched = executor_fetch(batch->executor, output);
        for (int64_t row = 0; row < samples * batch->length; row++) {
            int64_t to = (done * batch->length + row) * evaluation->columns[t];
            executor_read_row(batch->executor, fetched, row, evaluation->prediction[t] + to);
        }
        memcpy(evaluation->label[t] + done * batch->length, batch->target[t],
               (size_t)(samples * batch->length) * sizeof(float));
    }
}

/* Of several ranks the first shows its share, which is as large as the others'. */
static status_t predict_range(batch_t *batch, split_t split, int64_t begin, int64_t end,
                              const char *doing, evaluation_t *evaluation) {
    bool whole = end - begin == dataset_sample_count(batch->dataset, split);
    work_t work;
    work_begin(&work, doing, whole ? "samples" : NULL, end - begin);
    status_t status = STATUS_OK;
    step_scalars_t scalars = {0};
    sample_steps_t steps = {.there = batch->there};
    batch_stream_t stream = {.split = split,
                             .begin = begin,
                             .stride = batch->slots,
                             .end = end,
                             .count = div_up(end - begin, batch->slots)};
    batch_start(batch, &stream);
    for (int64_t done = 0, samples = 0; done < end - begin; done += samples) {
        TRY_GOTO(status, batch_next(batch, &samples), done);
        TRY_GOTO(status, executor_forward_first(batch->executor, samples, steps, &scalars), done);
        keep_outputs(batch, done, samples, evaluation);
        work_done(&work, done + samples);
    }
done:
    work_end(&work);
    return status;
}

static evaluation_t *evaluation_new(const config_t *config, int64_t samples, int64_t length) {
    evaluation_t *e = alloc_zero(1, sizeof *e);
    e->target_count = config->target_count;
    e->length = length;
    e->steps = samples * length;
    e->columns = alloc_zero(e->target_count, sizeof *e->columns);
    e->prediction = alloc_zero(e->target_count, sizeof *e->prediction);
    e->label = alloc_zero(e->target_count, sizeof *e->label);
    e->sequence = alloc_zero(e->steps, sizeof *e->sequence);
    e->stretch = alloc_zero(e->steps, sizeof *e->stretch);
    e->by_name = alloc_zero(max_i64(samples, 1), sizeof *e->by_name);
    e->post = alloc_zero(e->target_count, sizeof *e->post);
    e->scores = alloc_zero(e->target_count, sizeof *e->scores);
    e->cuts = alloc_zero(e->target_count, sizeof *e->cuts);
    e->widths = alloc_zero(e->target_count, sizeof *e->widths);
    for (int t = 0; t < e->target_count; t++) {
        e->columns[t] = target_columns(&config->targets[t]);
        e->prediction[t] = alloc_zero(e->steps * e->columns[t], sizeof(float));
        e->label[t] = alloc_zero(e->steps, sizeof(float));
    }
    return e;
}

void evaluation_free(evaluation_t *e) {
    if (e == NULL) {
        return;
    }
    for (int t = 0; t < e->target_count; t++) {
        free(e->prediction[t]);
        free(e->label[t]);
        free(e->post[t]);
    }
    free(e->columns);
    free(e->prediction);
    free(e->label);
    free(e->sequence);
    free(e->stretch);
    free(e->by_name);
    free(e->post);
    free(e->scores);
    free(e->cuts);
    free(e->widths);
    free(e);
}

/* Samples are dealt in whole groups, so that a sample's place in its group never changes. */
static int64_t first_sample(int64_t samples, int64_t group, int ranks, int rank) {
    return min_i64(share_begin(div_up(samples, group), ranks, rank) * group, samples);
}

static status_t gather(comm_t *comm, const evaluation_t *mine, evaluation_t *all, int64_t samples,
                       int64_t group) {
    int ranks = comm_size(comm);
    size_t *lengths = alloc_zero(ranks, sizeof *lengths);
    size_t *offsets = alloc_zero(ranks, sizeof *offsets);
    status_t status = STATUS_OK;
    for (int t = 0; t < 2 * all->target_count && status == STATUS_OK; t++) {
        bool labels = t % 2 == 1;
        int64_t columns = labels ? 1 : all->columns[t / 2];
        for (int r = 0; r < ranks; r++) {
            int64_t begin = first_sample(samples, group, ranks, r);
            int64_t end = first_sample(samples, group, ranks, r + 1);
            size_t bytes = (size_t)(all->length * columns) * sizeof(float);
            offsets[r] = (size_t)begin * bytes;
            lengths[r] = (size_t)(end - begin) * bytes;
        }
        status = comm_all_gather_v(comm, labels ? mine->label[t / 2] : mine->prediction[t / 2],
                                   labels ? all->label[t / 2] : all->prediction[t / 2], lengths,
                                   offsets, "predictions");
    }
    free(lengths);
    free(offsets);
    return status;
}

/* --- scoring --------------------------------------------------------------------------------- */

/* Numbers the recordings and their stretches, and counts the steps that the data has: without
 * padding, and a step that two windows cover once. */
static void survey(const dataset_t *dataset, split_t split, evaluation_t *e) {
    int64_t number = 0, stretch = 0, end = 0;
    const char *last = NULL;
    for (int64_t s = 0; s < e->steps / e->length; s++) {
        sample_info_t info = dataset_sample(dataset, split, s);
        bool same = last != NULL && strcmp(last, info.recording) == 0;
        number += last != NULL && !same;
        stretch += last != NULL && (!same || info.first_step > end);
        last = info.recording;
        int64_t known = same ? max_i64(0, end - info.first_step) : 0;
        e->data_steps += max_i64(0, info.steps - known);
        end = info.first_step + info.steps;
        for (int64_t i = 0; i < e->length; i++) {
            e->sequence[s * e->length + i] = number;
            e->stretch[s * e->length + i] = i >= known && i < info.steps ? stretch : -1;
        }
    }
}

/* Steps at which any target has a valid label. */
static int64_t labelled_steps(const evaluation_t *e) {
    int64_t count = 0;
    for (int64_t i = 0; i < e->steps; i++) {
        bool any = false;
        for (int t = 0; t < e->target_count && !any; t++) {
            any = !isnan(e->label[t][i]);
        }
        count += any;
    }
    return count;
}

static void score_by_cut(evaluation_t *e, int t, double cut) {
    e->cuts[t] = cut;
    score_classes(e->prediction[t], e->label[t], e->steps, e->columns[t], cut, &e->scores[t]);
    e->scores[t].n_invalid = e->data_steps - e->scores[t].n;
}

static void score(const config_t *config, const target_fit_t *fit, const kernels_t *kernels,
                  evaluation_t *e) {
    e->loss = 0.0;
    for (int t = 0; t < e->target_count; t++) {
        loss_call_t call = loss_call_of(config, fit, t);
        double sums[LOSS_SUMS];
        call.x = (matrix_t){e->prediction[t], e->steps, e->columns[t], e->columns[t], 0};
        call.target = e->label[t];
        call.shard_end = 1;
        kernels->loss_sums(&call, sums);
        e->loss += call.weight * loss_value(&call, sums);
        if (target_classes(&config->targets[t]) > 0) {
            score_by_cut(e, t, fit->cuts[t]);
        } else {
            score_values(e->prediction[t], e->label[t], e->sequence, e->steps, &e->scores[t]);
        }
        e->scores[t].n_invalid = e->data_steps - e->scores[t].n;
    }
}

void evaluation_fit(evaluation_t *e, const config_t *config, target_fit_t *fit) {
    for (int t = 0; t < e->target_count; t++) {
        if (strcmp(config->targets[t].threshold, "fit") == 0) {
            fit->cuts[t] = fitted_cut(e->prediction[t], e->label[t], e->steps, e->columns[t]);
            score_by_cut(e, t, fit->cuts[t]);
        }
    }
    evaluation_fit_widths(e, config, fit);
}

typedef struct place {
    const char *recording;
    int64_t first_step, sample;
} place_t;

static int compare_places(const void *left, const void *right) {
    const place_t *a = left, *b = right;
    int by_name = strcmp(a->recording, b->recording);
    return by_name != 0 ? by_name
                        : (a->first_step > b->first_step) - (a->first_step < b->first_step);
}

static void order_by_name(const dataset_t *dataset, split_t split, evaluation_t *e) {
    int64_t samples = e->steps / e->length;
    place_t *places = alloc_zero(max_i64(samples, 1), sizeof *places);
    for (int64_t s = 0; s < samples; s++) {
        sample_info_t info = dataset_sample(dataset, split, s);
        places[s] = (place_t){info.recording, info.first_step, s};
    }
    qsort(places, (size_t)samples, sizeof *places, compare_places);
    for (int64_t s = 0; s < samples; s++) {
        e->by_name[s] = places[s].sample;
    }
    free(places);
}

/* Scores from sums in the order of the recordings' names: their last bit does not depend on the
 * order in which the data lists them. */
static void score_by_name(const config_t *config, const target_fit_t *fit, const kernels_t *kernels,
                          evaluation_t *e) {
    int64_t samples = e->steps / e->length;
    evaluation_t *sorted = evaluation_new(config, samples, e->length);
    sorted->data_steps = e->data_steps;
    gather_by_name(e, 1, sizeof *e->sequence, e->sequence, sorted->sequence);
    for (int t = 0; t < e->target_count; t++) {
        gather_by_name(e, e->columns[t], sizeof(float), e->prediction[t], sorted->prediction[t]);
        gather_by_name(e, 1, sizeof(float), e->label[t], sorted->label[t]);
    }
    score(config, fit, kernels, sorted);
    e->loss = sorted->loss;
    memcpy(e->scores, sorted->scores, (size_t)e->target_count * sizeof *e->scores);
    memcpy(e->cuts, sorted->cuts, (size_t)e->target_count * sizeof *e->cuts);
    evaluation_free(sorted);
}

/* parity.unlabelled_as_right: what is scored and smoothed is 0 against 0 wherever there is a step
 * without a label. */
static void count_unlabelled(evaluation_t *e, const config_t *config) {
    for (int t = 0; t < e->target_count; t++) {
        bool counts = target_classes(&config->targets[t]) == 0;
        for (int64_t i = 0; counts && i < e->steps; i++) {
            if (e->stretch[i] >= 0 && isnan(e->label[t][i])) {
                e->prediction[t][i] = 0.0f;
                e->label[t][i] = 0.0f;
            }
        }
    }
}

status_t evaluate_split(comm_t *comm, const config_t *config, const target_fit_t *fit,
                        const kernels_t *kernels, batch_t *batch, int64_t samples_per_shard,
                        split_t split, const char *doing, evaluation_t **evaluation_out) {
    int64_t samples = dataset_sample_count(batch->dataset, split);
    int ranks = comm_size(comm), rank = comm_rank(comm);
    int64_t begin = first_sample(samples, samples_per_shard, ranks, rank);
    int64_t end = first_sample(samples, samples_per_shard, ranks, rank + 1);
    evaluation_t *mine = evaluation_new(config, end - begin, batch->length);
    evaluation_t *all = evaluation_new(config, samples, batch->length);
    status_t status = predict_range(batch, split, begin, end, doing, mine);
    status = comm_agree(comm, status, "evaluation");
    if (status == STATUS_OK) {
        status = gather(comm, mine, all, samples, samples_per_shard);
    }
    evaluation_free(mine);
    if (status != STATUS_OK) {
        evaluation_free(all);
        return status;
    }
    survey(batch->dataset, split, all);
    order_by_name(batch->dataset, split, all);
    if (config->parity.unlabelled_as_right) {
        count_unlabelled(all, config);
    }
    score_by_name(config, fit, kernels, all);
    evaluation_post_process(all, config, fit);
    *evaluation_out = all;
    return STATUS_OK;
}

/* --- selecting and reporting ----------------------------------------------------------------- */

const char *select_on_name(const config_t *config) {
    if (strcmp(config->select_on, "auto") != 0) {
        return config->select_on;
    }
    for (int t = 0; t < config->target_count; t++) {
        if (target_classes(&config->targets[t]) == 0) {
            return "ccc";
        }
    }
    return "accuracy";
}

double evaluation_selected(const evaluation_t *e, const config_t *config,
                           bool *higher_is_better_out) {
    return evaluation_metric(e, config, select_on_name(config), higher_is_better_out);
}

double evaluation_metric(const evaluation_t *e, const config_t *config, const char *name,
                         bool *higher_is_better_out) {
    const char *dot = strrchr(name, '.');
    metric_t metric = METRIC_ccc;
    if (!metric_find(dot != NULL ? dot + 1 : name, &metric)) {
        *higher_is_better_out = false; /* "loss": config_check admits no other word */
        return e->loss;
    }
    *higher_is_better_out = metric_higher_is_better(metric);
    for (int t = 0; dot != NULL && t < e->target_count; t++) {
        const char *target = config->targets[t].name;
        if (strlen(target) == (size_t)(dot - name) && strncmp(target, name, strlen(target)) == 0) {
            return e->scores[t].value[metric];
        }
    }
    return scores_mean(e->scores, e->target_count, metric);
}

static json_t *metrics_object(const scores_t *scores, int count) {
    json_t *object = json_object();
    for (int m = 0; m < METRIC_COUNT; m++) {
        double value = scores_mean(scores, count, (metric_t)m);
        if (!isnan(value)) {
            json_object_set_new(object, metric_name((metric_t)m), json_real(value));
        }
    }
    return object;
}

static json_t *confusion_array(const scores_t *scores) {
    json_t *rows = json_array();
    for (int64_t a = 0; a < scores->classes; a++) {
        json_t *row = json_array();
        for (int64_t p = 0; p < scores->classes; p++) {
            json_array_append_new(row, json_integer(scores->confusion[a][p]));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

char *evaluation_json(const evaluation_t *e, const config_t *config, const char *split) {
    json_t *root = json_object(), *targets = json_object(), *confusion = json_object();
    int64_t n = labelled_steps(e);
    for (int t = 0; t < e->target_count; t++) {
        const char *name = config->targets[t].name;
        json_t *target = metrics_object(&e->scores[t], 1);
        json_object_set_new(target, "n", json_integer(e->scores[t].n));
        json_object_set_new(target, "n_invalid", json_integer(e->scores[t].n_invalid));
        if (e->cuts != NULL && e->scores[t].classes == 2) {
            double threshold = 1.0 / (1.0 + exp(-e->cuts[t]));
            json_object_set_new(target, "threshold", json_real(threshold));
        }
        if (e->post != NULL && e->post[t] != NULL) {
            json_object_set_new(target, "smooth", json_integer(e->widths[t]));
        }
        json_object_set_new(targets, name, target);
        if (e->scores[t].classes > 0) {
            json_object_set_new(confusion, name, confusion_array(&e->scores[t]));
        }
    }
    json_object_set_new(root, "split", json_string(split));
    json_object_set_new(root, "n", json_integer(n));
    json_object_set_new(root, "n_invalid", json_integer(e->data_steps - n));
    json_object_set_new(root, "loss", json_real(e->loss));
    json_object_set_new(root, "metrics", metrics_object(e->scores, e->target_count));
    json_object_set_new(root, "targets", targets);
    json_object_set_new(root, "confusion", confusion);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(root);
    return text;
}

static void write_row(FILE *file, const evaluation_t *e, const char *target_name, int target,
                      sample_info_t info, int64_t at, int64_t step, bool with_post) {
    float label = e->label[target][at];
    if (isnan(label)) {
        return;
    }
    const float *x = e->prediction[target] + at * e->columns[target];
    const float *post = e->post[target] != NULL ? e->post[target] + at : x;
    bool is_class = e->scores[target].classes > 0;
    long long of_class = is_class ? predicted_class(x, e->columns[target], e->cuts[target]) : 0;
    csv_write_field(file, info.recording);
    fprintf(file, ",%s,%lld,", info.subject, (long long)step); /* an alias needs no quotes */
    csv_write_field(file, target_name);
    fprintf(file, ",%.9g", (double)label);
    for (int i = 0; i < (with_post ? 2 : 1); i++) {
        if (is_class) {
            fprintf(file, ",%lld", of_class);
        } else {
            fprintf(file, ",%.9g", (double)(i == 0 ? x[0] : post[0]));
        }
    }
    fputc('\n', file);
}

status_t evaluation_write_csv(const evaluation_t *e, const config_t *config,
                              const dataset_t *dataset, split_t split, const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    bool with_post = config_is_post_processed(config);
    fprintf(file, "recording,subject,step,name,target,prediction%s\n", with_post ? ",post" : "");
    for (int64_t s = 0; s < e->steps / e->length; s++) {
        sample_info_t info = dataset_sample(dataset, split, s);
        for (int64_t i = 0; i < info.steps; i++) {
            for (int t = 0; t < e->target_count; t++) {
                write_row(file, e, config->targets[t].name, t, info, s * e->length + i,
                          info.first_step + i, with_post);
            }
        }
    }
    fclose(file);
    status_t status = file_write_durable(path, text, bytes);
    free(text);
    return status;
}
