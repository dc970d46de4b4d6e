#include "trainer/evaluation_record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/run_directory.h"
#include "trainer/trained_on.h"

/* --- settings -------------------------------------------------------------------------------- */

status_t evaluation_settings(const checkpoint_t *checkpoint, const char *path,
                             const config_t *config, char **settings_out) {
    config_t *trained = NULL;
    TRY(config_parse_stored(checkpoint->config_yaml, path, NULL, 0, &trained));
    int count = 0;
    char **keys = config_differences(trained, config, &count);
    json_t *settings = json_object();
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        char *value = config_value(config, keys[i]);
        if (!config_may_differ(config, keys[i], DIFFER_AT_EVALUATION)) {
            status = status_fail(STATUS_INPUT,
                                 "--set %s=%s: that belongs to the trained model and cannot be "
                                 "changed afterwards; train one with it",
                                 keys[i], value);
        }
        json_object_set_new(settings, keys[i], json_string(value));
        free(value);
    }
    *settings_out = status == STATUS_OK ? json_dumps(settings, JSON_PRESERVE_ORDER) : NULL;
    json_decref(settings);
    names_free(keys, count);
    config_free(trained);
    return status;
}

/* --- who was trained on ---------------------------------------------------------------------- */

static bool same_split(const checkpoint_t *checkpoint, const config_t *config) {
    config_t *trained = NULL;
    if (config_parse_stored(checkpoint->config_yaml, "", NULL, 0, &trained) != STATUS_OK) {
        return false;
    }
    int count = 0;
    char **keys = config_differences(trained, config, &count);
    bool same = true;
    for (int i = 0; i < count; i++) {
        same = same && strncmp(keys[i], "split.", 6) != 0;
    }
    names_free(keys, count);
    config_free(trained);
    return same;
}

static bool same_data(const checkpoint_t *checkpoint, const trainer_t *t) {
    return strcmp(checkpoint->data_identity, dataset_identity(t->dataset)) == 0;
}

/* An older checkpoint does not say; the same data and split.* deal the same people. NULL: not
 * known. Caller frees. */
static char *trained_on_of(const checkpoint_t *checkpoint, const trainer_t *t) {
    if (checkpoint->trained_on[0] != '\0') {
        return text_copy(checkpoint->trained_on);
    }
    bool same = same_data(checkpoint, t) && same_split(checkpoint, t->config);
    return same ? trained_on_text(t->dataset) : NULL;
}

status_t evaluation_check(const checkpoint_t *checkpoint, const trainer_t *t, split_t split) {
    char *trained_on = trained_on_of(checkpoint, t);
    status_t status = STATUS_OK;
    if (trained_on == NULL && split != SPLIT_TRAIN) {
        status = status_fail(STATUS_INPUT,
                             "the checkpoint is of an older version and does not say who was "
                             "trained on; give the data and the split.* that it was trained with, "
                             "or train again");
    } else if (trained_on != NULL) {
        bool overlap = t->config->split.allow_subject_overlap;
        status = trained_on_check(trained_on, t->dataset, split, overlap);
    }
    free(trained_on);
    return status;
}

/* --- the record ------------------------------------------------------------------------------ */

static char *selected_on(const config_t *config, const evaluation_source_t *source) {
    bool validated = source->checkpoint->progress.best_step >= 0 || model_is_control(config);
    bool best = strncmp(source->name, "best-", 5) == 0;
    if (best || strcmp(source->name, "last") == 0) { /* best of nothing is the last */
        return text_copy(best && validated ? run_selected_on(config) : "last");
    }
    return text_format("step %lld", (long long)source->checkpoint->progress.step);
}

static char *marks_of(const trainer_t *t, split_t split, const checkpoint_t *checkpoint) {
    char *trained_on = trained_on_of(checkpoint, t);
    char *marks = run_marks(t->config, t->dataset, split, trained_on != NULL ? trained_on : "{}");
    free(trained_on);
    if (!same_data(checkpoint, t)) {
        char *longer = text_format("%s%sother data", marks, marks[0] != '\0' ? "; " : "");
        free(marks);
        marks = longer;
    }
    return marks;
}

/* Such a row is none of those of one checkpoint: what it was selected on and its marks say so. */
static void add_taken(json_t *record, const char *taken) {
    json_t *root = json_loads(taken, 0, NULL), *one;
    const char *target;
    json_object_foreach(root, target, one) {
        const char *own = json_string_value(json_object_get(one, "selected_on"));
        const char *selected = json_string_value(json_object_get(record, "selected_on"));
        char *longer = text_format("%s; %s: %s", selected, target, own);
        json_object_set_new(record, "selected_on", json_string(longer));
        free(longer);
        const char *its = json_string_value(json_object_get(one, "marks"));
        const char *marks = json_string_value(json_object_get(record, "marks"));
        if (its[0] != '\0' && strstr(marks, its) == NULL) {
            longer = text_format("%s%s%s", marks, marks[0] != '\0' ? "; " : "", its);
            json_object_set_new(record, "marks", json_string(longer));
            free(longer);
        }
    }
    json_object_set_new(record, "taken", root);
}

char *evaluation_record(const evaluation_t *evaluation, const trainer_t *t, split_t split,
                        const evaluation_source_t *source) {
    char *text = evaluation_json(evaluation, t->config, split_name(split));
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    const checkpoint_t *checkpoint = source->checkpoint;
    char *selected = selected_on(t->config, source), *marks = marks_of(t, split, checkpoint);
    json_t *record =
        json_pack("{s:s, s:I, s:s, s:I, s:s, s:s, s:s}", "checkpoint", source->name, "step",
                  (json_int_t)checkpoint->progress.step, "selected_on", selected, "seed",
                  (json_int_t)checkpoint->seed, "marks", marks, "data",
                  dataset_identity(t->dataset), "training_data", checkpoint->data_identity);
    if (source->taken != NULL) {
        add_taken(record, source->taken);
    }
    if (source->data_path != NULL) {
        json_object_set_new(record, "data_path", json_string(source->data_path));
    }
    const char *settings = source->settings != NULL ? source->settings : "{}";
    json_object_set_new(record, "settings", json_loads(settings, 0, NULL));
    char *yaml = config_yaml(t->config);
    json_object_set_new(record, "config", json_string(yaml));
    free(yaml);
    json_object_update(root, record);
    json_decref(record);
    text = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(root);
    free(selected);
    free(marks);
    return text;
}
