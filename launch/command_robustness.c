#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/manifest.h"
#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "launch/opened.h"
#include "launch/robustness_report.h"

static const option_t options[] = {
    OPENED_OPTIONS,
    {"--corrupt", "MODALITY=KIND:LEVEL,...",
     "noise:DB, drop:P, missing:P, muted:P, shift:STEPS; repeated"},
    {"--imported", "DIR", "the same source imported with noise_db: one more row; repeated"},
    {"--seed", "N", "of what is drawn (default 0)"},
    {"--csv", "FILE", "write model,modality,corruption,level,target,metric,value"},
    OPTION_END,
};

enum { CURVES_MAX = 1024 };

typedef struct curve {
    corruption_t points[CURVES_MAX]; /* the first one is none */
    int count;
} curve_t;

/* --- what is asked for ----------------------------------------------------------------------- */

static status_t parse_levels(const char *text, corruption_t corruption, const char *levels,
                             curve_t *curve) {
    for (const char *next = levels; next != NULL;) {
        char *end = NULL;
        corruption.level = strtod(next, &end);
        bool number = end != next && (*end == ',' || *end == '\0');
        if (!number || !corruption_takes(corruption.kind, corruption.level)) {
            return status_fail(STATUS_INPUT,
                               "--corrupt %s: '%s' is no level of %s; noise takes dB, drop, "
                               "missing and muted probabilities, shift whole steps",
                               text, next, corruption_name(corruption.kind));
        }
        if (curve->count == CURVES_MAX) {
            return status_fail(STATUS_INPUT, "--corrupt: more than %d levels; give fewer",
                               CURVES_MAX - 1);
        }
        curve->points[curve->count++] = corruption;
        next = *end == ',' ? end + 1 : NULL;
    }
    return STATUS_OK;
}

static status_t parse_one(const trainer_t *t, const char *text, uint64_t seed, curve_t *curve) {
    corruption_t corruption = {.modality = -1, .seed = seed};
    const char *equals = strchr(text, '=');
    const char *colon = equals != NULL ? strchr(equals, ':') : NULL;
    if (colon == NULL) {
        return status_fail(STATUS_INPUT,
                           "--corrupt %s: MODALITY=KIND:LEVEL,... is expected, as in audio=noise:0",
                           text);
    }
    char *modality = text_format("%.*s", (int)(equals - text), text);
    char *kind = text_format("%.*s", (int)(colon - equals - 1), equals + 1);
    for (int m = 0; m < t->modality_count; m++) {
        corruption.modality = strcmp(t->modality_names[m], modality) == 0 ? m : corruption.modality;
    }
    status_t status = STATUS_OK;
    if (corruption.modality < 0) {
        status =
            status_fail(STATUS_INPUT, "--corrupt %s: the model has no modality %s", text, modality);
    } else if (!corruption_find(kind, &corruption.kind)) {
        status = status_fail(STATUS_INPUT,
                             "--corrupt %s: '%s' is not noise, drop, missing, muted or shift", text,
                             kind);
    } else if (batch_takes(&t->batch, corruption.modality, corruption.kind) != STATUS_OK) {
        status = status_prefix(STATUS_INPUT, "--corrupt %s", text);
    } else {
        status = parse_levels(text, corruption, colon + 1, curve);
    }
    free(modality);
    free(kind);
    return status;
}

static status_t parse(const trainer_t *t, const arguments_t *arguments, curve_t *curve) {
    int count = 0;
    int64_t seed = 0;
    const char *const *texts = arguments_values(arguments, "--corrupt", &count);
    TRY(arguments_integer(arguments, "--seed", 0, INT64_MAX, 0, &seed));
    curve->count = 1;
    for (int i = 0; i < count; i++) {
        TRY(parse_one(t, texts[i], (uint64_t)seed, curve));
    }
    return count > 0 || arguments_has(arguments, "--imported")
               ? STATUS_OK
               : status_fail(STATUS_INPUT, "nothing to corrupt; give --corrupt "
                                           "MODALITY=KIND:LEVEL,... or --imported DIR");
}

/* --- what comes of it ------------------------------------------------------------------------ */

static const char sound_noise[] = "sound_noise";

/* modality "": of none alone; level NaN: none. */
static json_t *row_of(const trainer_t *t, const char *modality, const char *corruption,
                      double level, const evaluation_t *evaluation, split_t split) {
    char *text = evaluation_json(evaluation, t->config, split_name(split));
    json_t *scores = json_loads(text, 0, NULL);
    json_t *row = json_pack("{s:s, s:s, s:o, s:O, s:O}", "modality", modality, "corruption",
                            corruption, "level", isnan(level) ? json_null() : json_real(level),
                            "metrics", json_object_get(scores, "metrics"), "targets",
                            json_object_get(scores, "targets"));
    json_decref(scores);
    free(text);
    return row;
}

/* The first evaluation, on the input as it is, is kept for what comes after it. */
static status_t predict_all(trainer_t *t, split_t split, const curve_t *curve, json_t *rows,
                            evaluation_t **first_out) {
    for (int i = 0; i < curve->count; i++) {
        const corruption_t *c = &curve->points[i];
        bool none = c->kind == CORRUPTION_NONE;
        evaluation_t *evaluation = NULL;
        TRY(comm_agree(t->comm, batch_corrupt(&t->batch, c), "robustness"));
        TRY(trainer_evaluate(t, split, "scoring", &evaluation));
        json_array_append_new(rows, row_of(t, none ? "" : t->modality_names[c->modality],
                                           corruption_name(c->kind), none ? NAN : c->level,
                                           evaluation, split));
        if (i == 0) {
            *first_out = evaluation;
        } else {
            evaluation_free(evaluation);
        }
    }
    return STATUS_OK;
}

/* Whether both are of the same steps of the same sequences. */
static bool same_steps(const evaluation_t *a, const evaluation_t *b) {
    return a->steps == b->steps && a->length == b->length &&
           memcmp(a->sequence, b->sequence, (size_t)a->steps * sizeof *a->sequence) == 0;
}

static bool same_labels(const evaluation_t *a, const evaluation_t *b) {
    bool same = same_steps(a, b) && a->target_count == b->target_count;
    for (int i = 0; same && i < a->target_count; i++) {
        same = memcmp(a->label[i], b->label[i], (size_t)a->steps * sizeof(float)) == 0;
    }
    return same;
}

/* The level of noise with which the sound of a data directory was imported. */
static status_t read_level(const char *dir, double *level_out) {
    manifest_t manifest;
    TRY(manifest_read(dir, &manifest));
    json_t *facts = json_loads(manifest.facts != NULL ? manifest.facts : "{}", 0, NULL);
    const json_t *level = json_object_get(facts, "noise_db");
    bool known = json_is_number(level);
    *level_out = json_number_value(level);
    json_decref(facts);
    manifest_free(&manifest);
    return known ? STATUS_OK
                 : status_fail(STATUS_INPUT,
                               "--imported %s: was not imported with noise; make it of the same "
                               "source by jmt shard IMPORTER --set noise_db=10",
                               dir);
}

static status_t predict_imported(comm_t *comm, const opened_t *opened, const char *dir,
                                 const evaluation_t *clean, json_t *rows) {
    const evaluation_source_t source = {
        .checkpoint = &opened->checkpoint, .name = opened->name, .data_path = dir};
    double level = 0.0;
    trainer_t *t = NULL;
    evaluation_t *evaluation = NULL;
    TRY(comm_agree(comm, read_level(dir, &level), NULL));
    TRY(opened_trainer(comm, opened->config, &source, opened->split, &t));
    status_t status = trainer_evaluate(t, opened->split, "scoring", &evaluation);
    if (status == STATUS_OK && !same_labels(clean, evaluation)) {
        status = status_fail(STATUS_INPUT,
                             "--imported %s: holds other recordings or labels than %s; import the "
                             "same source",
                             dir, opened->data_path);
    }
    status = comm_agree(comm, status, NULL);
    if (status == STATUS_OK) {
        json_array_append_new(rows, row_of(t, "", sound_noise, level, evaluation, opened->split));
    }
    evaluation_free(evaluation);
    trainer_close(t);
    return status;
}

/* --- the command ----------------------------------------------------------------------------- */

typedef struct measured {
    json_t *models;
    char *identity; /* of the first one's data */
    evaluation_t *first;
} measured_t;

/* Curves stand side by side where the same steps of the same data were scored. */
static status_t check_alike(const measured_t *measured, const trainer_t *t, const char *path,
                            const evaluation_t *clean) {
    bool same = strcmp(measured->identity, dataset_identity(t->dataset)) == 0 &&
                same_steps(measured->first, clean);
    return same ? STATUS_OK
                : status_fail(STATUS_INPUT,
                              "%s: is scored on other data, people or windows than the first "
                              "model; give models of one split and data.window, or --data",
                              path);
}

static status_t measure_levels(comm_t *comm, const arguments_t *arguments, const opened_t *opened,
                               measured_t *measured, json_t *rows, evaluation_t **clean_out) {
    evaluation_source_t source = {
        .checkpoint = &opened->checkpoint, .name = opened->name, .data_path = opened->data_path};
    trainer_t *t = NULL;
    TRY(opened_trainer(comm, opened->config, &source, opened->split, &t));
    curve_t *curve = alloc_zero(1, sizeof *curve);
    status_t status = comm_agree(comm, parse(t, arguments, curve), NULL);
    if (status == STATUS_OK) {
        status = predict_all(t, opened->split, curve, rows, clean_out);
    }
    if (status == STATUS_OK && measured->first != NULL) {
        status =
            comm_agree(comm, check_alike(measured, t, arguments->positional[0], *clean_out), NULL);
    } else if (status == STATUS_OK) {
        measured->identity = text_copy(dataset_identity(t->dataset));
    }
    free(curve);
    trainer_close(t);
    return status;
}

/* One model: arguments->positional[0]. */
static status_t measure(comm_t *comm, const arguments_t *arguments, measured_t *measured) {
    opened_t opened;
    json_t *rows = json_array();
    evaluation_t *clean = NULL;
    int count = 0;
    const char *const *imported = arguments_values(arguments, "--imported", &count);
    status_t status = opened_open(comm, arguments, false, &opened);
    if (status == STATUS_OK) {
        status = measure_levels(comm, arguments, &opened, measured, rows, &clean);
    }
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        status = predict_imported(comm, &opened, imported[i], clean, rows);
    }
    if (status == STATUS_OK) {
        json_array_append_new(measured->models,
                              json_pack("{s:s, s:s, s:I, s:s, s:s, s:O}", "model",
                                        arguments->positional[0], "checkpoint", opened.name, "step",
                                        (json_int_t)opened.checkpoint.progress.step, "data",
                                        opened.data_path, "split", split_name(opened.split), "rows",
                                        rows));
    }
    if (measured->first == NULL) {
        measured->first = clean;
    } else {
        evaluation_free(clean);
    }
    json_decref(rows);
    opened_close(&opened);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    measured_t measured = {.models = json_array()};
    arguments_t one = *arguments;
    status_t status = STATUS_OK;
    for (int i = 0; i < arguments->positional_count && status == STATUS_OK; i++) {
        one.positional[0] = arguments->positional[i];
        status = measure(comm, &one, &measured);
    }
    if (status == STATUS_OK) {
        bool first = comm_rank(comm) == 0;
        status = comm_agree(comm, first ? robustness_report(measured.models, arguments) : STATUS_OK,
                            "write results");
    }
    evaluation_free(measured.first);
    free(measured.identity);
    json_decref(measured.models);
    return status;
}

static const example_t examples[] = {
    {"jmt robustness runs/one/checkpoints/best-ccc --corrupt audio=noise:20,10,0,-10", ""},
    {"jmt robustness runs/one --corrupt video=drop:0.1,0.5,0.9 --corrupt audio=missing:1",
     "frames lost; without sound"},
    {"jmt robustness runs/jmt runs/concat runs/audio --corrupt audio=muted:0.5,1 "
     "--imported data/noise-20 --imported data/noise-10",
     "models side by side; noise on the sound itself"},
    EXAMPLE_END,
};

const command_t command_robustness = {
    .name = "robustness",
    .group = GROUP_RESULT,
    .synopsis =
        "CHECKPOINT... [--corrupt MODALITY=KIND:LEVEL,...]... [--imported DIR]... [--data DIR] "
        "[--split train|valid|test] [--seed N] [--csv FILE] [--out FILE] "
        "[--set KEY=VALUE]... [--json]",
    .summary = "score checkpoints on input that is made worse, level by level",
    .help =
        "The first row is the input as it is; each level of each --corrupt is one more, with "
        "one modality changed. noise: Gaussian, so many dB below the sample's own features as "
        "the model gets them (standardised). drop: each step is missing with that probability. "
        "missing: a sample lacks the modality with that probability. muted: its sound, or signal "
        "as a waveform, is silence with that probability. shift: it comes so many "
        "steps too late, within the window. --imported: the same recordings, with noise on "
        "the sound itself (jmt shard IMPORTER --set noise_db=DB). Several checkpoints are "
        "scored on the same windows, a column each. What is drawn depends on seed, modality and "
        "sample "
        "alone: the same on any number of ranks.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = ROBUSTNESS_MODELS_MAX,
    .collective = true,
    .run = run,
};
