#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "trainer/checkpoint.h"
#include "trainer/models.h"
#include "trainer/step_port.h"

static const option_t options[] = {
    OPTION_SET,
    {"--out", "FILE", "safetensors to write"},
    {"--optimizer", NULL, "the optimiser's state too, as optimizer/STATE/NAME"},
    OPTION_END,
};

static status_t export_initial(const config_t *config, tensor_set_t *set) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    graph_t *graph = NULL;
    flat_state_t flat;
    TRY(config_dims(config, dims));
    TRY(model_build(config, dims, &graph));
    status_t status = flat_state_make(graph, &flat);
    if (status == STATUS_OK) {
        float *weights = alloc_aligned((size_t)flat.elements * sizeof *weights);
        flat_state_init(&flat, graph, (uint64_t)config->seed, weights);
        parameters_export(graph, flat.offsets, weights, set);
        free(weights);
        flat_state_free(&flat);
    }
    graph_close(graph);
    return status;
}

/* The checkpoint's tensors under their bare names. */
static void export_checkpoint(const checkpoint_t *checkpoint, bool optimizer, tensor_set_t *set) {
    static const char prefix[] = "weights/";
    for (int i = 0; i < checkpoint->tensors.count; i++) {
        const tensor_t *from = &checkpoint->tensors.tensors[i];
        bool weight = strncmp(from->name, prefix, sizeof prefix - 1) == 0;
        if (weight || optimizer) {
            const char *name = weight ? from->name + sizeof prefix - 1 : from->name;
            tensor_t *to = tensor_set_add(set, name, from->type, from->rank, from->dims);
            memcpy(to->data, from->data, tensor_bytes(from));
        }
    }
    set->metadata = text_copy("{\"format\":\"pt\"}");
}

static status_t collect(const arguments_t *arguments, tensor_set_t *set) {
    const char *source = arguments->positional[0];
    size_t length = strlen(source);
    if (length > 5 && strcmp(source + length - 5, ".yaml") == 0) {
        config_t *config = NULL;
        TRY(command_config_of(arguments, 0, &config));
        status_t status = export_initial(config, set);
        config_free(config);
        return status;
    }
    checkpoint_t checkpoint = {0};
    TRY(checkpoint_read(source, &checkpoint));
    export_checkpoint(&checkpoint, arguments_has(arguments, "--optimizer"), set);
    checkpoint_free(&checkpoint);
    return STATUS_OK;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    const char *out = arguments_value(arguments, "--out");
    if (out == NULL) {
        return status_fail(STATUS_INPUT, "--out FILE is missing; see jmt export --help");
    }
    tensor_set_t set = {0};
    status_t status = collect(arguments, &set);
    if (status == STATUS_OK) {
        status = safetensors_write(out, &set);
    }
    tensor_set_free(&set);
    return status;
}

const command_t command_export = {
    .name = "export",
    .synopsis = "CHECKPOINT|CONFIG --out F.safetensors [--optimizer]",
    .summary = "weights as safetensors with bare names, PyTorch's layout; CONFIG: the initial ones",
    .help = "",
    .options = options,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
