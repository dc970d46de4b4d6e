#include "trainer/model_card.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"
#include "kernels/base/bytes.h"
#include "trainer/models.h"
#include "trainer/run_directory.h"

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && text[0] != '\0' ? text : "not said";
}

/* --- the model ------------------------------------------------------------------------------- */

static void write_targets(FILE *out, const config_t *config) {
    for (int t = 0; t < config->target_count; t++) {
        const target_config_t *target = &config->targets[t];
        int64_t classes = target_classes(target);
        fprintf(out, "%s%s", t > 0 ? ", " : "", target->name);
        if (classes > 0) {
            fprintf(out, " (%lld classes)", (long long)classes);
        }
    }
}

static void write_model(FILE *out, const checkpoint_t *c, const config_t *config) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    fprintf(out,
            "- model: `%s`, %lld parameters, step %lld of seed %lld\n- from:", config->model.name,
            (long long)c->parameters, (long long)c->progress.step, (long long)c->seed);
    for (int m = 0; m < count; m++) {
        fprintf(out, "%s %s", m > 0 ? "," : "", config->modalities[indices[m]].name);
    }
    fprintf(out, "; windows of %lld steps\n- predicts: ", (long long)config->data.window);
    write_targets(out, config);
    fprintf(out, "\n- program: jmt " JMT_VERSION "\n");
}

/* --- data and people ------------------------------------------------------------------------- */

static int part_count(const json_t *people, const char *part) {
    const char *alias;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)people, alias, value) {
        count += json_is_string(value) && strcmp(json_string_value(value), part) == 0;
    }
    return count;
}

static void write_people(FILE *out, const json_t *training, const char *when) {
    const json_t *people = json_object_get(training, "people");
    fprintf(out, "- people%s: %d trained on, %d for validation (%zu recordings)\n", when,
            part_count(people, "train"), part_count(people, "valid"),
            json_object_size(json_object_get(training, "recordings")));
}

static void write_origin(FILE *out, const checkpoint_t *c, const json_t *trained_on) {
    json_t *files = json_loads(c->init_files, 0, NULL), *file, *earlier;
    const char *name;
    size_t i;
    json_object_foreach(files, name, file) {
        const char *path = text_of(file, "file"), *slash = strrchr(path, '/');
        fprintf(out, "- began with weights of `%s` (init.%s: %s, SHA-256 `%s`)\n",
                slash != NULL ? slash + 1 : path, name, text_of(file, "format"),
                text_of(file, "sha256"));
    }
    json_array_foreach(json_object_get(trained_on, "before"), i, earlier) {
        write_people(out, earlier, " of such weights");
    }
    json_decref(files);
}

static void write_data(FILE *out, const checkpoint_t *c, const config_t *config, const char *data) {
    json_t *trained_on = json_loads(c->trained_on, 0, NULL);
    json_t *about = data != NULL ? json_loads(data, 0, NULL) : NULL;
    if (about != NULL) {
        fprintf(out, "- data: %s (importer `%s`)\n- licence: %s\n- terms: %s\n",
                text_of(about, "source"), text_of(about, "importer"), text_of(about, "licence"),
                text_of(about, "terms"));
    } else {
        fprintf(out, "- data: not at hand when this was written. Its licence and terms hold for "
                     "these weights; look them up before passing them on\n");
    }
    fprintf(out, "- identity of the data: `%s`\n", c->data_identity);
    if (trained_on != NULL) {
        write_people(out, trained_on, "");
        write_origin(out, c, trained_on);
        fprintf(out, "- the file holds these people's aliases and hashes of their recordings, no "
                     "names: programs can refuse to score them\n");
    } else {
        fprintf(out, "- people: not said; an older program trained it\n");
    }
    if (config->data.permute_labels) {
        fprintf(out, "- **control**: trained on permuted labels; it knows nothing\n");
    }
    json_decref(trained_on);
    json_decref(about);
}

/* --- results and use ------------------------------------------------------------------------- */

static void write_results(FILE *out, const char *evaluation) {
    json_t *root = evaluation != NULL ? json_loads(evaluation, 0, NULL) : NULL, *metric, *targets;
    const char *name, *target;
    if (root == NULL) {
        fprintf(out, "Not evaluated. `jmt evaluate CHECKPOINT --out FILE`, then `jmt export ... "
                     "--evaluation FILE`.\n");
        return;
    }
    fprintf(out,
            "On the %s people, %lld labels; selected on %s%s%s.\n\n| target | metric | value "
            "|\n|---|---|---:|\n",
            text_of(root, "split"), (long long)json_integer_value(json_object_get(root, "n")),
            text_of(root, "selected_on"),
            json_string_length(json_object_get(root, "marks")) > 0 ? "; " : "",
            json_string_value(json_object_get(root, "marks")));
    json_object_foreach(json_object_get(root, "targets"), target, targets) {
        json_object_foreach(targets, name, metric) {
            if (json_is_real(metric)) {
                fprintf(out, "| %s | %s | %.4f |\n", target, name, json_real_value(metric));
            }
        }
    }
    json_decref(root);
}

static const char use[] =
    "For research on data like that above, by people who may use that data. Scores hold for people "
    "who are recorded\nas these were; for others they are unknown until measured. A prediction is "
    "an estimate of what annotators or\nreports would say, not of what a person feels. Not for "
    "decisions about a person: no diagnosis, no triage of pain, no\nsurveillance, no hiring.\n";

/* Folders are this machine's affair. */
static void drop_folders(char *path) {
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        memmove(path, slash + 1, strlen(slash));
    }
}

static void write_settings(FILE *out, config_t *config) {
    drop_folders(config->data.path);
    for (int i = 0; i < config->init_count; i++) {
        drop_folders(config->init[i].file);
    }
    char *yaml = config_yaml(config);
    fprintf(out, "\n## Settings\n\n```yaml\n%s```\n", yaml);
    free(yaml);
}

status_t model_card(const checkpoint_t *c, const char *name, const char *data,
                    const char *evaluation, char **text_out) {
    size_t bytes = 0;
    config_t *config = NULL;
    TRY(config_parse(c->config_yaml, "checkpoint", NULL, 0, &config));
    FILE *out = open_memstream(text_out, &bytes);
    REQUIRE(out != NULL && "out of memory");
    char *row = run_row_name(config);
    fprintf(out,
            "# %s\n\nWeights of `%s` as safetensors, names and layout as PyTorch has them.\n\n",
            name, row);
    free(row);
    write_model(out, c, config);
    fprintf(out, "\n## Trained on\n\n");
    write_data(out, c, config, data);
    fprintf(out, "\n## Results\n\n");
    write_results(out, evaluation);
    fprintf(out, "\n## Intended use\n\n%s", use);
    write_settings(out, config);
    REQUIRE(fclose(out) == 0 && "out of memory");
    config_free(config);
    return STATUS_OK;
}
