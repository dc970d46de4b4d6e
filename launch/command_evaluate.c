#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "launch/opened.h"
#include "launch/page_table.h"
#include "launch/taken.h"
#include "trainer/checkpoint.h"
#include "trainer/evaluation_record.h"
#include "trainer/submission.h"

static const option_t options[] = {
    OPENED_OPTIONS,
    {"--predictions", "FILE", "write recording,subject,step,name,target,prediction"},
    {"--submission", "FILE", "write image_location,TARGET...: a value for every frame"},
    {"--shifts", "N", "predict N times, each a part of a step later, and score frames (default 1)"},
    {"--take", "TARGET=CHECKPOINT", "this target as predicted by another one; may be repeated"},
    OPTION_END,
};

/* A row for each target, a column for each number that any of them has. */
static void print_targets(const page_t *page, json_t *targets) {
    enum { METRICS_MAX = 12, CELL_BYTES = 24 };
    page_column_t columns[METRICS_MAX + 2] = {{"target", false, 0}};
    const char *name, *metric;
    json_t *target, *value;
    int count = 1;
    json_object_foreach(targets, name, target) {
        json_object_foreach(target, metric, value) {
            bool known = !json_is_real(value) || count > METRICS_MAX;
            for (int c = 1; c < count; c++) {
                known = known || strcmp(columns[c].title, metric) == 0;
            }
            if (!known) {
                columns[count] = (page_column_t){metric, true, count};
                count++;
            }
        }
    }
    columns[count++] = (page_column_t){"labels", true, 0};
    page_table_t *table = page_table_open(columns, count);
    json_object_foreach(targets, name, target) {
        char cells[METRICS_MAX + 2][CELL_BYTES];
        const char *row[METRICS_MAX + 2] = {name};
        for (int c = 1; c < count; c++) {
            value = json_object_get(target, c + 1 == count ? "n" : columns[c].title);
            snprintf(cells[c], CELL_BYTES, "-");
            if (json_is_real(value)) {
                snprintf(cells[c], CELL_BYTES, "%.4f", json_real_value(value));
            } else if (json_is_integer(value)) {
                snprintf(cells[c], CELL_BYTES, "%lld", (long long)json_integer_value(value));
            }
            row[c] = cells[c];
        }
        page_table_row(table, row);
    }
    page_table_print(table, page);
    page_table_close(table);
}

static void print_text(const char *json) {
    json_t *root = json_loads(json, 0, NULL);
    page_t page = page_of(stdout);
    print_targets(&page, json_object_get(root, "targets"));
    page_say(&page, "%s: %lld labels scored, %lld steps without a label",
             json_string_value(json_object_get(root, "split")),
             (long long)json_integer_value(json_object_get(root, "n")),
             (long long)json_integer_value(json_object_get(root, "n_invalid")));
    json_decref(root);
}

static status_t report(const trainer_t *t, const evaluation_t *evaluation, split_t split,
                       const evaluation_source_t *source, const arguments_t *arguments) {
    const char *csv = arguments_value(arguments, "--predictions");
    if (csv != NULL) {
        TRY(evaluation_write_csv(evaluation, t->config, t->dataset, split, csv));
    }
    char *json = evaluation_record(evaluation, t, split, source);
    status_t status = opened_answer(arguments, json, print_text);
    free(json);
    return status;
}

/* Predicts the split again with recordings' clocks begun shift steps later. */
static status_t add_shifted(comm_t *comm, const config_t *config, const evaluation_source_t *source,
                            const taken_list_t *taken, split_t split, double shift,
                            submission_t *submission) {
    config_t shifted = *config;
    trainer_t *t = NULL;
    evaluation_t *evaluation = NULL;
    shifted.data.shift += shift;
    TRY(trainer_open_checkpoint(&shifted, comm, source->data_path, source->checkpoint, &t));
    status_t status = trainer_evaluate(t, split, "predicting", &evaluation);
    if (status == STATUS_OK) {
        target_fit_t fit = t->target_fit;
        status = taken_apply(comm, taken, config, shift, split, source->data_path, evaluation, &fit,
                             NULL);
    }
    if (status == STATUS_OK) {
        submission_add(submission, evaluation, t->dataset, split);
    }
    evaluation_free(evaluation);
    trainer_close(t);
    return status;
}

static bool asks_for_frames(const arguments_t *arguments) {
    return arguments_has(arguments, "--submission") || arguments_has(arguments, "--shifts");
}

/* fit: of the targets as they were predicted. */
static status_t submit(const trainer_t *t, evaluation_t *evaluation, const target_fit_t *fit,
                       const taken_list_t *taken, split_t split, const evaluation_source_t *source,
                       const arguments_t *arguments) {
    const char *path = arguments_value(arguments, "--submission");
    submission_t *submission = NULL;
    int64_t shifts = 1;
    if (!asks_for_frames(arguments)) {
        return STATUS_OK;
    }
    status_t status = arguments_integer(arguments, "--shifts", 1, 10000, 1, &shifts);
    if (status == STATUS_OK && path != NULL && t->config->parity.unlabelled_as_right) {
        status =
            status_fail(STATUS_INPUT, "--submission: parity.unlabelled_as_right makes all that "
                                      "has no label 0; add --set "
                                      "parity.unlabelled_as_right=false");
    }
    if (status == STATUS_OK) {
        status = submission_open(t->config, fit, (int)shifts, path != NULL, &submission);
    }
    TRY(comm_agree(t->comm, status, NULL));
    submission_add(submission, evaluation, t->dataset, split);
    for (int64_t i = 1; i < shifts && status == STATUS_OK; i++) {
        status = add_shifted(t->comm, t->config, source, taken, split, (double)i / (double)shifts,
                             submission);
    }
    if (status == STATUS_OK && path != NULL && comm_rank(t->comm) == 0) {
        status = submission_write(submission, path);
    }
    if (status == STATUS_OK) {
        submission_score(submission, evaluation->scores);
    }
    submission_close(submission);
    return comm_agree(t->comm, status, "write submission");
}

static status_t evaluate(comm_t *comm, const arguments_t *arguments, const config_t *config,
                         const taken_list_t *taken, const evaluation_source_t *given,
                         split_t split) {
    evaluation_source_t told = *given, *source = &told;
    char *records = NULL;
    trainer_t *t = NULL;
    evaluation_t *evaluation = NULL;
    TRY(opened_trainer(comm, config, source, split, &t));
    target_fit_t fit = t->target_fit;
    status_t status = trainer_evaluate(t, split, "scoring", &evaluation);
    if (status == STATUS_OK) {
        status = taken_apply(comm, taken, config, 0.0, split, source->data_path, evaluation, &fit,
                             &records);
        source->taken = records;
    }
    if (status == STATUS_OK) {
        status = submit(t, evaluation, &fit, taken, split, source, arguments);
    }
    if (status == STATUS_OK) {
        bool first = comm_rank(comm) == 0;
        status = first ? report(t, evaluation, split, source, arguments) : STATUS_OK;
        status = comm_agree(comm, status, "write results");
    }
    free(records);
    evaluation_free(evaluation);
    trainer_close(t);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    opened_t opened;
    bool submits = asks_for_frames(arguments);
    taken_list_t taken = {0};
    status_t status = opened_open(comm, arguments, submits, &opened);
    if (status == STATUS_OK) {
        status = taken_open(comm, arguments, submits, &opened, &taken);
    }
    if (status == STATUS_OK) {
        evaluation_source_t source = {.checkpoint = &opened.checkpoint,
                                      .name = opened.name,
                                      .settings = opened.settings,
                                      .data_path = opened.data_path};
        status = evaluate(comm, arguments, opened.config, &taken, &source, opened.split);
    }
    taken_close(&taken);
    opened_close(&opened);
    return status;
}

static const example_t examples[] = {
    {"jmt evaluate runs/one/checkpoints/best-ccc", "on the test people"},
    {"jmt evaluate runs/one/checkpoints/best-ccc --out runs/one/evaluation.json", "for jmt table"},
    {"jmt evaluate runs/one --submission test.txt --shifts 32", "a step is 32 frames"},
    {"jmt evaluate runs/one/checkpoints/best-valence.ccc --take "
     "arousal=runs/one/checkpoints/best-arousal.ccc",
     "each target by the checkpoint that is best in it"},
    {"jmt launch -n 4 evaluate runs/one --split valid --predictions valid.csv", ""},
    EXAMPLE_END,
};

const command_t command_evaluate = {
    .name = "evaluate",
    .group = GROUP_RESULT,
    .synopsis = "CHECKPOINT [--data DIR] [--split train|valid|test] [--predictions FILE] "
                "[--submission FILE] [--shifts N] [--take TARGET=CHECKPOINT]... [--out FILE] "
                "[--set KEY=VALUE]... [--json]",
    .summary = "score a checkpoint: every sample of a split exactly once",
    .help =
        "CHECKPOINT is a run directory (its last checkpoint is meant), or one of its checkpoints. "
        "People that it was trained on are not scored as held out, whatever --data and split.* "
        "say; --set changes how, on what and by which yardstick is scored, not the model. Of the "
        "split valid it finds what the run said of it, to rounding; to the last bit with --set "
        "evaluation.fold_attention=false.\n"
        "--submission has a line for every frame of every recording, RECORDING/00001.jpg on; a "
        "frame between two predictions takes its part of both; a target with classes has the "
        "class. With --shifts N every recording is "
        "predicted N times, its steps each time 1/N step later: where a step is N frames, each "
        "frame is predicted exactly once. With either, the metrics of names in _frames score these "
        "values against the labels of all frames, smoothed as one.\n"
        "--take TARGET=CHECKPOINT: what is said of this target comes from another checkpoint, of "
        "any model with the same steps; CHECKPOINT says the rest. There is then no loss.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .collective = true,
    .run = run,
};
