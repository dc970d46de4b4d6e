#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/inspect.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "trainer/export.h"
#include "trainer/model_card.h"
#include "trainer/run_directory.h"

static const option_t options[] = {
    OPTION_SET,
    {"--out", "FILE", "safetensors to write"},
    {"--optimizer", NULL, "the optimiser's state too, as optimizer/STATE/NAME"},
    {"--evaluation", "FILE", "what jmt evaluate --out wrote of the checkpoint, for the model card"},
    OPTION_END,
};

static status_t from_config(const arguments_t *arguments, tensor_set_t *set_out) {
    config_t *config = NULL;
    TRY(command_config_of(arguments, 0, &config));
    status_t status = export_initial(config, set_out);
    config_free(config);
    return status;
}

/* --- the model card -------------------------------------------------------------------------- */

static char *load_text(const char *directory, const char *name) {
    char *path = text_format("%s/%s", directory, name), *text = NULL;
    bool read = file_exists(path) && file_read(path, &text, NULL) == STATUS_OK;
    free(path);
    return read ? text : NULL;
}

/* What there is to say of the data, if the run's data is where it was; NULL: it is not. */
static char *describe_data(const char *run, const checkpoint_t *checkpoint) {
    char *manifest = load_text(run, "manifest.json"), *about = NULL;
    json_t *root = manifest != NULL ? json_loads(manifest, 0, NULL) : NULL;
    const char *path = json_string_value(json_object_get(root, "data_path"));
    dataset_config_t config = inspect_defaults(path != NULL ? path : "");
    if (path != NULL && dir_exists(path) && inspect_dataset(&config, &about) == STATUS_OK) {
        json_t *data = json_loads(about, 0, NULL);
        const char *identity = json_string_value(json_object_get(data, "identity"));
        if (identity == NULL || strcmp(identity, checkpoint->data_identity) != 0) {
            free(about);
            about = NULL;
        }
        json_decref(data);
    }
    json_decref(root);
    free(manifest);
    return about;
}

static bool is_of(const char *evaluation, const checkpoint_t *checkpoint) {
    json_t *root = json_loads(evaluation, 0, NULL);
    const char *data = json_string_value(json_object_get(root, "training_data"));
    bool same = data != NULL && strcmp(data, checkpoint->data_identity) == 0 &&
                json_integer_value(json_object_get(root, "step")) == checkpoint->progress.step &&
                json_integer_value(json_object_get(root, "seed")) == checkpoint->seed;
    json_decref(root);
    return same;
}

/* --evaluation, else the one that jmt cv left in the run. */
static status_t find_evaluation(const arguments_t *arguments, const char *run,
                                const checkpoint_t *checkpoint, char **evaluation_out) {
    const char *given = arguments_value(arguments, "--evaluation");
    char *text = NULL;
    if (given == NULL) {
        text = load_text(run, "evaluation.json");
    } else {
        TRY(file_read(given, &text, NULL));
    }
    if (text != NULL && !is_of(text, checkpoint)) {
        free(text);
        text = NULL;
        if (given != NULL) {
            return status_fail(
                STATUS_INPUT, "--evaluation %s is of another checkpoint; evaluate this one", given);
        }
    }
    *evaluation_out = text;
    return STATUS_OK;
}

/* "best.md" beside "best.safetensors"; NULL: the file is called otherwise (a pipe), no card. */
static char *card_path(const char *out) {
    static const char suffix[] = ".safetensors";
    size_t length = strlen(out), more = sizeof suffix - 1;
    bool fits = length > more && strcmp(out + length - more, suffix) == 0;
    return fits ? text_format("%.*s.md", (int)(length - more), out) : NULL;
}

static status_t write_card(const arguments_t *arguments, const checkpoint_t *checkpoint,
                           const char *path) {
    const char *out = arguments_value(arguments, "--out"), *slash = strrchr(out, '/');
    char *run = NULL, *evaluation = NULL;
    if (run_directory_of(arguments->positional[0], &run) != STATUS_OK) {
        run = text_copy(arguments->positional[0]); /* a checkpoint that was copied out of its run */
    }
    char *data = describe_data(run, checkpoint);
    status_t status = find_evaluation(arguments, run, checkpoint, &evaluation);
    char *card = NULL;
    if (status == STATUS_OK) {
        status = model_card(checkpoint, slash != NULL ? slash + 1 : out, data, evaluation, &card);
    }
    if (status == STATUS_OK) {
        status = file_write_durable(path, card, strlen(card));
    }
    free(card);
    if (status == STATUS_OK) {
        log_info("%s says what the weights are of; read it before you pass them on", path);
    }
    free(run);
    free(data);
    free(evaluation);
    return status;
}

/* --- the command ----------------------------------------------------------------------------- */

static status_t from_checkpoint(const arguments_t *arguments, tensor_set_t *set_out) {
    checkpoint_t checkpoint = {0};
    if (arguments_has(arguments, "--set")) {
        return status_fail(STATUS_INPUT, "--set has no effect on a checkpoint; leave it out");
    }
    TRY(checkpoint_read(arguments->positional[0], &checkpoint));
    char *card = card_path(arguments_value(arguments, "--out"));
    status_t status = card != NULL ? write_card(arguments, &checkpoint, card) : STATUS_OK;
    free(card);
    if (status == STATUS_OK) {
        status = export_checkpoint(&checkpoint, arguments_has(arguments, "--optimizer"), set_out);
    }
    checkpoint_free(&checkpoint);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    const char *out = arguments_value(arguments, "--out");
    if (out == NULL) {
        return status_fail(STATUS_INPUT, "--out FILE is missing; see jmt export --help");
    }
    bool config = command_is_config(arguments->positional[0]);
    if (config &&
        (arguments_has(arguments, "--optimizer") || arguments_has(arguments, "--evaluation"))) {
        return status_fail(STATUS_INPUT, "a configuration has neither optimiser state nor an "
                                         "evaluation yet; leave --optimizer and --evaluation out");
    }
    tensor_set_t set = {0};
    TRY(config ? from_config(arguments, &set) : from_checkpoint(arguments, &set));
    status_t status = safetensors_write(out, &set);
    tensor_set_free(&set);
    return status;
}

static const example_t examples[] = {
    {"jmt export runs/one/checkpoints/best-ccc --out best.safetensors", ""},
    {"jmt export runs/one/checkpoints/best-ccc --out best.safetensors --evaluation test.json",
     "test.json is of jmt evaluate --out"},
    {"jmt export configs/tiny/jmt.yaml --out initial.safetensors", ""},
    EXAMPLE_END,
};

const command_t command_export = {
    .name = "export",
    .group = GROUP_RESULT,
    .synopsis = "CHECKPOINT|CONFIG --out FILE [--optimizer] [--evaluation FILE] "
                "[--set KEY=VALUE]...",
    .summary = "write weights as safetensors, PyTorch's names and layout",
    .help = "Of a CONFIG (a path that ends in .yaml): the initial weights that its seed makes, and "
            "its init.NAME files.\nOf a CHECKPOINT there is also a model card, FILE with .md in "
            "place of .safetensors: data, licence and terms, people counted, results if it was "
            "evaluated, intended use, settings. The metadata of FILE say who was trained on, by "
            "alias and hash, so that nobody of them is scored where these weights go on.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
