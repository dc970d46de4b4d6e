#include "launch/config_template.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/backbone_info.h"
#include "configs/config.h"
#include "data-sharding/inspect.h"
#include "data-sharding/manifest.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

#define COMMON "_common.yaml"

enum { SIGNAL_CLIP_MIN = 64 }; /* samples; cnn_1d needs some 25 */

/* That of the targets, but where they differ the highest. */
static double step_rate(const json_t *targets) {
    const char *name;
    const json_t *target;
    double highest = 0.0;
    int rates = 0;
    json_object_foreach((json_t *)targets, name, target) {
        const json_t *rate = json_object_get(target, "rate_hz");
        size_t count = json_is_array(rate) ? json_array_size(rate) : 1;
        for (size_t i = 0; i < count; i++) {
            double one = json_number_value(json_is_array(rate) ? json_array_get(rate, i) : rate);
            rates += one != highest;
            highest = fmax(highest, one);
        }
    }
    return rates > 1 ? highest : 0.0;
}

/* Modalities have files, rows and runs of their names beside those of the models and of the control
 * of permuted labels (launch/quickstart). */
static bool is_taken(const char *name) {
    return config_is_model(name) || strcmp(name, "permuted") == 0;
}

static status_t check_contents(const char *data, const json_t *modalities, const json_t *targets) {
    if (json_object_size(modalities) == 0 || json_object_size(targets) == 0) {
        return status_fail(STATUS_INPUT,
                           "%s: has %zu modalities and %zu targets; a model needs one of each, so "
                           "import it with both",
                           data, json_object_size(modalities), json_object_size(targets));
    }
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)modalities, name, value) {
        if (is_taken(name)) {
            return status_fail(STATUS_INPUT,
                               "%s: a modality is called %s, as a model or a control; import it "
                               "under another name",
                               data, name);
        }
    }
    return STATUS_OK;
}

static const char settings[] = "seed: 0\n"
                               "epochs: 20\n"
                               "batch: 16\n"
                               "model:\n"
                               "  dim: 32\n"
                               "  ff: 32\n"
                               "  heads: 1\n"
                               "  head_hidden: 32\n"
                               "  head_dropout: 0.2\n"
                               "optimizer:\n"
                               "  name: adamw\n"
                               "  learning_rate: 1e-3\n"
                               "  weight_decay: 1e-2\n"
                               "  clip_norm: 1\n"
                               "schedule:\n"
                               "  name: cosine\n"
                               "  warmup_steps: 20\n"
                               "early_stopping:\n"
                               "  patience: 5\n";

/* What a step of it is decides by what it becomes features: clips of eight pictures, or of a second
 * of sound or signal, by backbones, as published; features stay. */
static void write_modality(FILE *file, const char *name, const json_t *value) {
    const char *kind = json_string_value(json_object_get(value, "kind"));
    kind = kind != NULL ? kind : "features";
    if (strcmp(kind, "pixels") == 0) {
        json_int_t side = json_integer_value(json_array_get(json_object_get(value, "shape"), 0));
        fprintf(file, "  %s: {backbone: %s, clip: 8, dilation: 4, size: %lld}\n", name,
                backbone_first(backbone_sees)->name, (long long)side);
    } else if (strcmp(kind, "log_mel") == 0) {
        fprintf(file, "  %s: {backbone: %s, clip: 107, reduce: average}\n", name,
                backbone_first(backbone_hears)->name);
    } else if (strcmp(kind, "vggish_mel") == 0) {
        fprintf(file, "  %s: {backbone: vggish, clip: 96}\n", name);
    } else if (strcmp(kind, "signal") == 0) {
        json_t *rate = json_object_get(value, "rate_hz");
        rate = json_is_array(rate) ? json_array_get(rate, 0) : rate;
        fprintf(file, "  %s: {backbone: %s, dim: %lld, clip: %lld}\n", name,
                backbone_first(backbone_feels)->name,
                (long long)json_integer_value(json_object_get(value, "dim")),
                (long long)fmax(SIGNAL_CLIP_MIN, round(json_number_value(rate))));
    } else {
        fprintf(file, "  %s: {dim: %lld}\n", name,
                (long long)json_integer_value(json_object_get(value, "dim")));
    }
}

static status_t write_common(FILE *file, const char *data, const json_t *root,
                             const manifest_t *manifest) {
    const json_t *modalities = json_object_get(root, "modalities"),
                 *targets = json_object_get(root, "targets"), *value;
    json_int_t people = json_integer_value(json_object_get(root, "subjects"));
    const char *name;
    fprintf(file,
            "# What all models here share, to begin with: written by jmt config --for, and "
            "chosen by nobody. Look at\n"
            "# data.window (steps of a sample), the losses, the rate and the epochs first; "
            "jmt config lists all settings.\n%s",
            settings);
    double rate = manifest->rate_hz > 0.0 ? manifest->rate_hz : step_rate(targets);
    json_t *text = json_string(data);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY);
    json_decref(text);
    fprintf(file, "data:\n  path: %s\n  rate_hz: %.17g\n  window: %lld\nmodalities:\n", quoted,
            rate, (long long)json_integer_value(json_object_get(root, "window")));
    free(quoted);
    json_object_foreach((json_t *)modalities, name, value) { write_modality(file, name, value); }
    fprintf(file, "targets:\n");
    json_object_foreach((json_t *)targets, name, value) {
        TRY(config_template_target(file, data, name, people >= 3));
    }
    return STATUS_OK;
}

static status_t write_file(const char *folder, const char *name, const char *text) {
    char *path = text_format("%s/%s", folder, name);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    return status;
}

/* A file that cannot be read as a configuration is a fault of the names in the data. */
static status_t write_model(const char *folder, const char *name, const char *text) {
    char *file = text_format("%s.yaml", name), *path = text_format("%s/%s", folder, file);
    config_t *config = NULL;
    status_t status = write_file(folder, file, text);
    status = status == STATUS_OK ? config_load(path, NULL, 0, &config) : status;
    config_free(config);
    free(file);
    free(path);
    return status;
}

static status_t write_models(const char *folder, const json_t *modalities) {
    const char *name;
    const json_t *value;
    TRY(write_model(folder, "majority",
                    "# Control: the most frequent class, or the mean, of the training labels.\n"
                    "base: " COMMON "\nmodel:\n  name: majority\n"));
    json_object_foreach((json_t *)modalities, name, value) {
        char *text = text_format("# One modality alone.\nbase: " COMMON
                                 "\nmodel:\n  name: unimodal\n  modalities: [%s]\n",
                                 name);
        status_t status = write_model(folder, name, text);
        free(text);
        TRY(status);
    }
    if (json_object_size(modalities) < 2) {
        return STATUS_OK;
    }
    TRY(write_model(folder, "concat",
                    "# Features side by side, one linear layer, heads.\nbase: " COMMON
                    "\nmodel:\n  name: concat\n"));
    return write_model(folder, "jmt",
                       "# Joint multimodal transformer.\nbase: " COMMON "\nmodel:\n  name: jmt\n");
}

static status_t write_all(const char *data, const char *folder, const json_t *root,
                          const manifest_t *manifest) {
    json_t *modalities = json_object_get(root, "modalities");
    TRY(check_contents(data, modalities, json_object_get(root, "targets")));
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    status_t status = write_common(file, data, root, manifest);
    REQUIRE(fclose(file) == 0);
    status = status == STATUS_OK ? dir_remove(folder) : status; /* of one that was killed */
    status = status == STATUS_OK ? dir_make(folder) : status;
    status = status == STATUS_OK ? write_file(folder, COMMON, text) : status;
    status = status == STATUS_OK ? write_models(folder, modalities) : status;
    free(text);
    return status;
}

static status_t check_folder(const char *folder) {
    char **names = NULL;
    int count = 0;
    if (dir_exists(folder)) {
        TRY(dir_list(folder, &names, &count));
        names_free(names, count);
    }
    if (count > 0 || (file_exists(folder) && !dir_exists(folder))) {
        return status_fail(STATUS_INPUT, "%s is there already; give another --out or remove it",
                           folder);
    }
    return STATUS_OK;
}

/* From its name while it was written to its own: all files at once. */
static status_t publish(const char *part, const char *folder) {
    char **names = NULL;
    int count = 0;
    TRY(dir_list(part, &names, &count));
    if (rename(part, folder) != 0) {
        names_free(names, count);
        return status_fail_errno(STATUS_FAILED, "cannot rename %s to %s", part, folder);
    }
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], COMMON) != 0) {
            printf("%s/%s\n", folder, names[i]);
        }
    }
    names_free(names, count);
    return STATUS_OK;
}

static status_t write_folder(const char *data, const char *folder, const json_t *root,
                             const manifest_t *manifest) {
    char *part = text_format("%s.part", folder);
    status_t status = write_all(data, part, root, manifest);
    if (status == STATUS_OK) {
        status = publish(part, folder);
    }
    if (status != STATUS_OK) {
        char *cause = text_copy(status_text());
        if (dir_remove(part) == STATUS_OK) { /* else that is what is said */
            status = status_fail(status, "%s", cause);
        }
        free(cause);
    }
    free(part);
    return status;
}

status_t config_template_write(const char *data, const char *out) {
    dataset_config_t config = inspect_defaults(data);
    manifest_t manifest;
    char *json = NULL, *folder = text_copy(out);
    for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--) {
        folder[end - 1] = '\0';
    }
    status_t status = check_folder(folder);
    status = status == STATUS_OK ? manifest_read(data, &manifest) : status;
    if (status != STATUS_OK) {
        free(folder);
        return status;
    }
    status = inspect_dataset(&config, &json);
    if (status == STATUS_OK) {
        json_t *root = json_loads(json, 0, NULL);
        status = write_folder(data, folder, root, &manifest);
        json_decref(root);
    }
    free(json);
    free(folder);
    manifest_free(&manifest);
    return status;
}
