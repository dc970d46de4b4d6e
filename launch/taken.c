#include "launch/taken.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

static int target_of(const config_t *config, const char *name) {
    for (int t = 0; t < config->target_count; t++) {
        if (strcmp(config->targets[t].name, name) == 0) {
            return t;
        }
    }
    return -1;
}

/* Whatever fails is the same on all ranks. */
static status_t parse(const char *text, const config_t *config, const taken_list_t *list,
                      taken_t *taken) {
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0') {
        return status_fail(STATUS_INPUT, "--take %s: write TARGET=CHECKPOINT", text);
    }
    taken->target = text_format("%.*s", (int)(equals - text), text);
    taken->path = equals + 1;
    taken->index = target_of(config, taken->target);
    if (taken->index < 0) {
        return status_fail(STATUS_INPUT,
                           "--take %s: the model has no target \"%s\"; correct the name", text,
                           taken->target);
    }
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].index == taken->index) {
            return status_fail(STATUS_INPUT, "--take names %s twice; leave one out", taken->target);
        }
    }
    return STATUS_OK;
}

static status_t check_alike(const taken_t *taken, const config_t *main) {
    int t = target_of(taken->opened.config, taken->target);
    if (t < 0 || target_columns(&taken->opened.config->targets[t]) !=
                     target_columns(&main->targets[taken->index])) {
        return status_fail(STATUS_INPUT,
                           "--take %s=%s: that model predicts no %s of this kind; take one that "
                           "does",
                           taken->target, taken->path, taken->target);
    }
    return STATUS_OK;
}

status_t taken_open(comm_t *comm, const arguments_t *arguments, bool every_window,
                    const opened_t *main, taken_list_t *list_out) {
    int count = 0;
    const char *const *texts = arguments_values(arguments, "--take", &count);
    *list_out = (taken_list_t){.items = alloc_zero(max_i64(count, 1), sizeof(taken_t))};
    for (int i = 0; i < count; i++) {
        taken_t *taken = &list_out->items[i];
        status_t status = parse(texts[i], main->config, list_out, taken);
        list_out->count = i + 1;
        TRY(comm_agree(comm, status, NULL));
        arguments_t other = *arguments;
        other.positional[0] = taken->path;
        TRY(opened_open(comm, &other, every_window, &taken->opened));
        TRY(comm_agree(comm, check_alike(taken, main->config), NULL));
    }
    return STATUS_OK;
}

void taken_close(taken_list_t *list) {
    for (int i = 0; i < list->count; i++) {
        opened_close(&list->items[i].opened);
        free(list->items[i].target);
    }
    free(list->items);
}

/* --- predictions ------------------------------------------------------------------------------ */

static bool same_steps(const evaluation_t *a, int at, const evaluation_t *b, int bt) {
    size_t steps = (size_t)a->steps;
    return a->steps == b->steps && a->length == b->length && a->columns[at] == b->columns[bt] &&
           memcmp(a->sequence, b->sequence, steps * sizeof *a->sequence) == 0 &&
           memcmp(a->stretch, b->stretch, steps * sizeof *a->stretch) == 0 &&
           memcmp(a->label[at], b->label[bt], steps * sizeof(float)) == 0;
}

static void swap_floats(float **a, float **b) {
    float *other = *a;
    *a = *b;
    *b = other;
}

static void move(evaluation_t *to, int at, evaluation_t *from, int bt) {
    swap_floats(&to->prediction[at], &from->prediction[bt]);
    swap_floats(&to->post[at], &from->post[bt]);
    to->scores[at] = from->scores[bt];
    to->cuts[at] = from->cuts[bt];
    to->widths[at] = from->widths[bt];
    to->loss = NAN;
}

static status_t apply(comm_t *comm, const taken_t *taken, const config_t *main, double shift,
                      split_t split, const char *data_path, evaluation_t *evaluation,
                      target_fit_t *fit, json_t *records) {
    const opened_t *opened = &taken->opened;
    config_t config = *opened->config;
    config.data.shift = main->data.shift + shift;
    config.split = main->split; /* the same people, whoever this one would have tested */
    config.split.allow_subject_overlap = opened->config->split.allow_subject_overlap;
    const evaluation_source_t source = {.checkpoint = &opened->checkpoint,
                                        .name = opened->name,
                                        .settings = opened->settings,
                                        .data_path = data_path};
    int t = target_of(&config, taken->target);
    trainer_t *trainer = NULL;
    evaluation_t *own = NULL;
    TRY(opened_trainer(comm, &config, &source, split, &trainer));
    status_t status = trainer_evaluate(trainer, split, taken->target, &own);
    if (status == STATUS_OK && !same_steps(evaluation, taken->index, own, t)) {
        status = status_fail(STATUS_INPUT,
                             "--take %s=%s: predicts other steps than the checkpoint; take one of "
                             "the same data.window, stride and rate_hz",
                             taken->target, taken->path);
    }
    status = comm_agree(comm, status, NULL);
    if (status == STATUS_OK) {
        fit->widths[taken->index] = trainer->target_fit.widths[t];
        fit->cuts[taken->index] = trainer->target_fit.cuts[t];
        move(evaluation, taken->index, own, t);
        char *record = evaluation_record(own, trainer, split, &source);
        json_t *root = json_loads(record, 0, NULL), *said = json_object();
        static const char *const keys[] = {"checkpoint", "step", "selected_on", "seed", "marks"};
        for (int i = 0; i < ARRAY_LEN(keys); i++) {
            json_object_set(said, keys[i], json_object_get(root, keys[i]));
        }
        json_object_set_new(records, taken->target, said);
        json_decref(root);
        free(record);
    }
    evaluation_free(own);
    trainer_close(trainer);
    return status;
}

status_t taken_apply(comm_t *comm, const taken_list_t *list, const config_t *main, double shift,
                     split_t split, const char *data_path, evaluation_t *evaluation,
                     target_fit_t *fit, char **records_out) {
    json_t *records = json_object();
    status_t status = STATUS_OK;
    for (int i = 0; i < list->count && status == STATUS_OK; i++) {
        status =
            apply(comm, &list->items[i], main, shift, split, data_path, evaluation, fit, records);
    }
    if (status == STATUS_OK && records_out != NULL) {
        *records_out = list->count > 0 ? json_dumps(records, JSON_PRESERVE_ORDER) : NULL;
    }
    json_decref(records);
    return status;
}
