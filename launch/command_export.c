#include <string.h>

#include "launch/command.h"
#include "trainer/export.h"

static const option_t options[] = {
    OPTION_SET,
    {"--out", "FILE", "safetensors to write"},
    {"--optimizer", NULL, "the optimiser's state too, as optimizer/STATE/NAME"},
    OPTION_END,
};

static bool is_config(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".yaml") == 0;
}

static status_t from_config(const arguments_t *arguments, tensor_set_t *set_out) {
    config_t *config = NULL;
    TRY(command_config_of(arguments, 0, &config));
    status_t status = export_initial(config, set_out);
    config_free(config);
    return status;
}

static status_t from_checkpoint(const arguments_t *arguments, tensor_set_t *set_out) {
    checkpoint_t checkpoint = {0};
    if (arguments_has(arguments, "--set")) {
        return status_fail(STATUS_INPUT, "--set has no effect on a checkpoint; leave it out");
    }
    TRY(checkpoint_read(arguments->positional[0], &checkpoint));
    status_t status =
        export_checkpoint(&checkpoint, arguments_has(arguments, "--optimizer"), set_out);
    checkpoint_free(&checkpoint);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    const char *out = arguments_value(arguments, "--out");
    if (out == NULL) {
        return status_fail(STATUS_INPUT, "--out FILE is missing; see jmt export --help");
    }
    bool config = is_config(arguments->positional[0]);
    if (config && arguments_has(arguments, "--optimizer")) {
        return status_fail(STATUS_INPUT,
                           "a configuration has no optimiser state yet; leave --optimizer out");
    }
    tensor_set_t set = {0};
    TRY(config ? from_config(arguments, &set) : from_checkpoint(arguments, &set));
    status_t status = safetensors_write(out, &set);
    tensor_set_free(&set);
    return status;
}

static const example_t examples[] = {
    {"jmt export runs/one/checkpoints/best-ccc --out best.safetensors", ""},
    {"jmt export configs/tiny/jmt.yaml --out initial.safetensors", ""},
    EXAMPLE_END,
};

const command_t command_export = {
    .name = "export",
    .group = GROUP_RESULT,
    .synopsis = "CHECKPOINT|CONFIG --out FILE [--optimizer] [--set KEY=VALUE]...",
    .summary = "write weights as safetensors, PyTorch's names and layout",
    .help = "Of a CONFIG (a path that ends in .yaml): the initial weights that its seed makes.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
