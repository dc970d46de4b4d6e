#include "launch/config_template.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"
#include "data-sharding/inspect.h"
#include "data-sharding/manifest.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

enum { CLASSES_MAX = 20 };
#define COMMON "_common.yaml"

/* Labels that are whole numbers from 0 on are classes: how many; 0: they are measurements. */
static int64_t classes_of(const float *labels, int64_t count) {
    float lowest = 1.0f, highest = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        if (!(labels[i] >= 0.0f && labels[i] < CLASSES_MAX) || labels[i] != floorf(labels[i])) {
            return 0;
        }
        lowest = fminf(lowest, labels[i]);
        highest = fmaxf(highest, labels[i]);
    }
    return lowest == 0.0f && highest >= 1.0f ? (int64_t)highest + 1 : 0;
}

static status_t count_classes(const char *data, const char *target, int64_t *classes_out) {
    dataset_config_t config = inspect_defaults(data);
    config.window = 1;
    config.valid_fraction = config.test_fraction = 0.0;
    config.targets = &target;
    config.target_count = 1;
    dataset_t *dataset = NULL;
    float *labels = NULL;
    int64_t count = 0;
    TRY(dataset_open(&config, &dataset));
    status_t status = dataset_target_values(dataset, SPLIT_TRAIN, 0, &labels, &count);
    dataset_close(dataset);
    if (status == STATUS_OK) {
        *classes_out = classes_of(labels, count);
    }
    free(labels);
    return status;
}

static status_t write_target(FILE *file, const char *data, const char *name) {
    int64_t classes;
    TRY(count_classes(data, name, &classes));
    if (classes > 0) {
        fprintf(file, "  %s: {loss: cross_entropy, classes: %lld, class_weights: balanced}\n", name,
                (long long)classes);
    } else {
        fprintf(file, "  %s: {loss: ccc}\n", name);
    }
    return STATUS_OK;
}

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

static status_t check_contents(const char *data, const json_t *modalities, const json_t *targets) {
    if (json_object_size(modalities) == 0 || json_object_size(targets) == 0) {
        return status_fail(STATUS_INPUT,
                           "%s: has %zu modalities and %zu targets; a model needs one of each, so "
                           "import it with both",
                           data, json_object_size(modalities), json_object_size(targets));
    }
    static const char *const taken[] = {"majority", "concat", "jmt", "_common"};
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)modalities, name, value) {
        for (int i = 0; i < ARRAY_LEN(taken); i++) {
            if (strcmp(name, taken[i]) == 0) {
                return status_fail(
                    STATUS_INPUT,
                    "%s: a modality is called %s, as a model's file; import it under "
                    "another name",
                    data, name);
            }
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

static status_t write_common(FILE *file, const char *data, const json_t *root,
                             const manifest_t *manifest) {
    const json_t *modalities = json_object_get(root, "modalities"),
                 *targets = json_object_get(root, "targets"), *value;
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
    json_object_foreach((json_t *)modalities, name, value) {
        fprintf(file, "  %s: {dim: %lld}\n", name,
                (long long)json_integer_value(json_object_get(value, "dim")));
    }
    fprintf(file, "targets:\n");
    json_object_foreach((json_t *)targets, name, value) { TRY(write_target(file, data, name)); }
    return STATUS_OK;
}

/* A file that cannot be read as a configuration is a fault of the names in the data. */
static status_t write_file(const char *folder, const char *name, const char *text, bool model) {
    char *path = text_format("%s/%s%s", folder, name, model ? ".yaml" : "");
    status_t status = file_write_durable(path, text, strlen(text));
    config_t *config = NULL;
    if (status == STATUS_OK && model) {
        status = config_load(path, NULL, 0, &config);
    }
    if (status == STATUS_OK && model) {
        printf("%s\n", path);
    }
    config_free(config);
    free(path);
    return status;
}

static status_t write_models(const char *folder, const json_t *modalities) {
    const char *name;
    const json_t *value;
    TRY(write_file(folder, "majority",
                   "# Control: the most frequent class, or the mean, of the training labels.\n"
                   "base: " COMMON "\nmodel:\n  name: majority\n",
                   true));
    json_object_foreach((json_t *)modalities, name, value) {
        char *text = text_format("# One modality alone.\nbase: " COMMON
                                 "\nmodel:\n  name: unimodal\n  modalities: [%s]\n",
                                 name);
        status_t status = write_file(folder, name, text, true);
        free(text);
        TRY(status);
    }
    if (json_object_size(modalities) < 2) {
        return STATUS_OK;
    }
    TRY(write_file(folder, "concat",
                   "# Features side by side, one linear layer, heads.\nbase: " COMMON
                   "\nmodel:\n  name: concat\n",
                   true));
    return write_file(folder, "jmt",
                      "# Joint multimodal transformer.\nbase: " COMMON "\nmodel:\n  name: jmt\n",
                      true);
}

/* No model takes pictures. */
static void leave_out_pictures(json_t *modalities) {
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(modalities, next, name, value) {
        const char *kind = json_string_value(json_object_get(value, "kind"));
        if (kind != NULL && strcmp(kind, "pixels") == 0) {
            log_warning("%s holds pictures, which no model takes yet: it is left out", name);
            json_object_del(modalities, name);
        }
    }
}

static status_t write_all(const char *data, const char *folder, const json_t *root,
                          const manifest_t *manifest) {
    json_t *modalities = json_object_get(root, "modalities");
    leave_out_pictures(modalities);
    TRY(check_contents(data, modalities, json_object_get(root, "targets")));
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    status_t status = write_common(file, data, root, manifest);
    REQUIRE(fclose(file) == 0);
    if (status == STATUS_OK) {
        status = dir_make(folder);
    }
    if (status == STATUS_OK) {
        status = write_file(folder, COMMON, text, false);
    }
    free(text);
    return status == STATUS_OK ? write_models(folder, modalities) : status;
}

status_t config_template_write(const char *data, const char *folder) {
    char *common = text_format("%s/" COMMON, folder), *json = NULL;
    bool there = file_exists(common);
    free(common);
    if (there) {
        return status_fail(STATUS_INPUT, "%s has configurations; give another --out or remove it",
                           folder);
    }
    dataset_config_t config = inspect_defaults(data);
    manifest_t manifest;
    TRY(manifest_read(data, &manifest));
    status_t status = inspect_dataset(&config, &json);
    if (status == STATUS_OK) {
        json_t *root = json_loads(json, 0, NULL);
        status = write_all(data, folder, root, &manifest);
        json_decref(root);
    }
    free(json);
    manifest_free(&manifest);
    return status;
}
