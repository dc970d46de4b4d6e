#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "trainer/step_port.h"

static const option_t options[] = {
    OPTION_SET,
    {"--weights", "FILE", "safetensors with bare parameter names"},
    {"--batch", "FILE", "safetensors: input/M [B,L,D], mask/M, target/T or cotangent/T"},
    {"--out", "FILE", "safetensors to write: output/T, loss, grad/P, grad/input/M"},
    {"--precision", "f32|f32_strict|f64|bf16", "default: the configuration's"},
    {"--backend", "ref|cpu|cuda", "default ref for f64, else cpu"},
    {"--shards", "N", "virtual shards that the batch is cut into (default 1)"},
    {"--predict", NULL, "as jmt evaluate computes: no backward, output/T alone"},
    OPTION_END,
};

/* Becomes the configuration's, but for f64, which is none of its. */
static status_t precision_of(const arguments_t *arguments, config_t *config, dtype_t *dtype_out) {
    const char *text = arguments_value(arguments, "--precision");
    if (text != NULL && strcmp(text, "f64") != 0) {
        free(config->precision);
        config->precision = text_copy(text);
    }
    text = text != NULL ? text : config->precision;
    bool strict = strcmp(text, "f32_strict") == 0;
    *dtype_out = strcmp(text, "f64") == 0    ? DTYPE_F64
                 : strcmp(text, "bf16") == 0 ? DTYPE_BF16
                                             : DTYPE_F32;
    if (*dtype_out == DTYPE_F32 && strcmp(text, "f32") != 0 && !strict) {
        return status_fail(STATUS_INPUT, "--precision %s: f32, f32_strict, f64 or bf16 is expected",
                           text);
    }
    return STATUS_OK;
}

static status_t table_of(const arguments_t *arguments, config_t *config,
                         const kernels_t **kernels_out) {
    dtype_t dtype = DTYPE_F32;
    TRY(precision_of(arguments, config, &dtype));
    const char *backend = arguments_value(arguments, "--backend");
    backend = backend != NULL ? backend : dtype == DTYPE_F64 ? "ref" : "cpu";
    return kernels_for(backend, dtype, kernels_out);
}

static status_t run_files(config_t *config, const kernels_t *kernels,
                          const arguments_t *arguments) {
    tensor_set_t weights = {0}, batch = {0}, result = {0};
    bool predict = arguments_has(arguments, "--predict");
    int64_t shards = 1;
    status_t status = STATUS_OK;
    TRY_GOTO(status, arguments_integer(arguments, "--shards", 1, STEP_PORT_SHARDS_MAX, 1, &shards),
             done);
    TRY_GOTO(status, safetensors_read(arguments_value(arguments, "--weights"), &weights), done);
    TRY_GOTO(status, safetensors_read(arguments_value(arguments, "--batch"), &batch), done);
    TRY_GOTO(status,
             predict ? step_port_predict(config, kernels, &weights, &batch, &result)
                     : step_port(config, kernels, (int)shards, &weights, &batch, &result),
             done);
    status = safetensors_write(arguments_value(arguments, "--out"), &result);
done:
    tensor_set_free(&weights);
    tensor_set_free(&batch);
    tensor_set_free(&result);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    static const char *const needed[] = {"--weights", "--batch", "--out"};
    for (int i = 0; i < 3; i++) {
        if (!arguments_has(arguments, needed[i])) {
            return status_fail(STATUS_INPUT, "%s FILE is missing; see jmt step --help", needed[i]);
        }
    }
    config_t *config = NULL;
    TRY(command_config_of(arguments, 0, &config));
    const kernels_t *kernels = NULL;
    status_t status = table_of(arguments, config, &kernels);
    if (status == STATUS_OK) {
        status = run_files(config, kernels, arguments);
    }
    config_free(config);
    return status;
}

static const example_t examples[] = {
    {"jmt step configs/golden/h1.yaml --weights w.safetensors --batch b.safetensors --out "
     "o.safetensors --precision f64",
     ""},
    EXAMPLE_END,
};

const command_t command_step = {
    .name = "step",
    .group = GROUP_CHECK,
    .synopsis = "CONFIG --weights W --batch B --out O [--precision f32|f32_strict|f64|bf16] "
                "[--backend ref|cpu|cuda] [--shards N] [--predict] [--set KEY=VALUE]...",
    .summary = "one forward and backward pass on given numbers",
    .help =
        "The port for checks from outside. Opens no data; dropout is off; B and L come from the "
        "batch. Into how many shards it is cut changes rounding, and what batch_norm: shard "
        "goes by.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
