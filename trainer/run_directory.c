#include "trainer/run_directory.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/checkpoint.h"
#include "trainer/generation.h"
#include "trainer/models.h"
#include "trainer/trained_on.h"

status_t run_directory_of(const char *resume, char **directory_out) {
    char *checkpoint = NULL, *path;
    TRY(checkpoint_resolve(resume, &checkpoint));
    path = realpath(checkpoint, NULL);
    free(checkpoint);
    if (path == NULL) {
        return status_fail_errno(STATUS_FAILED, "cannot read %s", resume);
    }
    *strrchr(path, '/') = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || strcmp(slash, "/checkpoints") != 0) {
        free(path);
        return status_fail(STATUS_INPUT,
                           "%s lies in no run directory; say with --run where to go on", resume);
    }
    *slash = '\0';
    *directory_out = path;
    return STATUS_OK;
}

static bool holds(const char *directory, const char *name) {
    char *path = text_format("%s/%s", directory, name);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

static bool same_directory(const char *a, const char *b) {
    char *real_a = realpath(a, NULL), *real_b = realpath(b, NULL);
    bool same = real_a != NULL && real_b != NULL && strcmp(real_a, real_b) == 0;
    free(real_a);
    free(real_b);
    return same;
}

static bool belongs_to(const char *resume, const char *directory) {
    char *owner = NULL;
    bool same = strcmp(resume, "auto") == 0 ||
                (run_directory_of(resume, &owner) == STATUS_OK && same_directory(owner, directory));
    free(owner);
    return same;
}

status_t run_directory_check(const char *directory, const char *resume) {
    if (holds(directory, "manifest.sha256")) {
        return status_fail(STATUS_INPUT, "%s is a checkpoint; give a run directory to --run",
                           directory);
    }
    bool taken = holds(directory, "manifest.json") || holds(directory, "metrics.jsonl") ||
                 holds(directory, "checkpoints");
    if (taken && (resume == NULL || !belongs_to(resume, directory))) {
        return status_fail(
            STATUS_INPUT,
            "%s already holds a run; go on with --resume auto, or choose another --run", directory);
    }
    return STATUS_OK;
}

status_t run_directory_claim(const char *directory, int64_t *generation_out) {
    char *root = text_format("%s/checkpoints", directory);
    status_t status = dir_make(root);
    status = status == STATUS_OK ? dir_sync(directory) : status;
    status = status == STATUS_OK ? generation_take(root, generation_out) : status;
    free(root);
    return status;
}

static status_t write_text(const char *directory, const char *name, const char *text) {
    char *path = text_format("%s/%s", directory, name);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    return status;
}

char *run_row_name(const config_t *config) {
    int indices[CONFIG_MODALITIES_MAX];
    config_streams(config, indices);
    bool unimodal = strcmp(config->model.name, "unimodal") == 0;
    bool within = strcmp(config->data.permute_within, "person") == 0;
    const char *control = within ? " (labels permuted within person)" : " (labels permuted)";
    return text_format("%s%s", unimodal ? config->modalities[indices[0]].name : config->model.name,
                       config->data.permute_labels ? control : "");
}

static void mark(char **text, bool applies, const char *name) {
    if (applies && name[0] != '\0') {
        char *longer = text_format("%s%s%s", *text, (*text)[0] != '\0' ? "; " : "", name);
        free(*text);
        *text = longer;
    }
}

static bool sees_stimulus(const config_t *config) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count && strcmp(config->model.name, "majority") != 0; m++) {
        if (strcmp(config->modalities[indices[m]].name, "stimulus") == 0) {
            return true;
        }
    }
    return false;
}

char *run_marks(const config_t *config, const dataset_t *dataset, split_t split,
                const char *trained_on) {
    static const char *const splits[] = {
        [SPLIT_TRAIN] = "SCORED ON TRAINING PEOPLE",
        [SPLIT_VALID] = "SCORED ON VALIDATION PEOPLE",
        [SPLIT_TEST] = "",
    };
    static const char *const people[] = {[SEEN_NOTHING] = "",
                                         [SEEN_ALL] = "seen people",
                                         [SEEN_NONE] = "",
                                         [SEEN_SOME] = "some people seen"};
    static const char *const stimuli[] = {[SEEN_NOTHING] = "",
                                          [SEEN_ALL] = "seen stimuli",
                                          [SEEN_NONE] = "unseen stimuli",
                                          [SEEN_SOME] = "some stimuli seen"};
    char *text = text_copy("");
    bool leaky = strcmp(config->split.by, "leaky_published") == 0 && config->split.folds != 0;
    bool chosen = leaky && config->split.valid_fraction > 0.0;
    mark(&text, leaky, "LEAKY: TEST PEOPLE WERE TRAINED ON");
    mark(&text, chosen, "LEAKY: CHOSEN ON THE TEST");
    mark(&text, config->parity.unlabelled_as_right, "PARITY: UNLABELLED STEPS COUNT AS RIGHT");
    mark(&text, config->parity.skip[0] != '\0', "parity: recordings skipped");
    mark(&text, config->parity.whole_windows, "parity: whole windows");
    mark(&text, config->parity.attention_over_samples, "PARITY: ATTENTION OVER SAMPLES");
    mark(&text, true, splits[split]);
    mark(&text, model_is_control(config) || config->data.permute_labels, "control");
    bool own = strcmp(config->data.standardize, "person") == 0;
    mark(&text, own || dataset_baseline_is_all(dataset), "transductive");
    char *baseline = text_format("baseline %g min", config->baseline_minutes);
    mark(&text, config->baseline_minutes > 0.0, baseline);
    free(baseline);
    mark(&text, config->schedule_known, "schedule known");
    mark(&text, sees_stimulus(config), "stimulus known");
    mark(&text, split == SPLIT_TEST, people[trained_on_people(trained_on, dataset, split)]);
    mark(&text, true, stimuli[trained_on_groups(trained_on, dataset, split)]);
    return text;
}

const char *run_selected_on(const config_t *config) {
    return config->split.valid_fraction > 0.0 ? select_on_name(config) : "last";
}

status_t run_directory_describe(const char *directory, const char *data_path, const trainer_t *t) {
    char *fingerprint = NULL;
    TRY(trainer_fingerprint(t->config, t->kernels, t->device, &fingerprint));
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    char *trained_on = trainer_trained_on(t), *row = run_row_name(t->config);
    char *marks = run_marks(t->config, t->dataset, SPLIT_TEST, trained_on);
    free(trained_on);
    json_t *manifest = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:I, s:s}", "program", "jmt",
        "version", JMT_VERSION, "model", t->config->model.name, "row", row, "selected_on",
        run_selected_on(t->config), "marks", marks, "seed", (json_int_t)t->config->seed, "ranks",
        (json_int_t)comm_size(t->comm), "host", host, "fingerprint", fingerprint, "data",
        dataset_identity(t->dataset), "data_path", data_path, "parameters",
        (json_int_t)graph_parameter_elements(t->graph), "initial_hash", t->initial_hash);
    json_object_set_new(manifest, "init", json_loads(t->origin.files, 0, NULL));
    char *text = json_dumps(manifest, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    char *yaml = config_yaml(t->config);
    status_t status = write_text(directory, "config.yaml", yaml);
    status = status == STATUS_OK ? write_text(directory, "manifest.json", text) : status;
    free(yaml);
    free(text);
    free(row);
    free(marks);
    json_decref(manifest);
    free(fingerprint);
    return status;
}
