#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/inspect.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/command.h"
#include "trainer/checkpoint.h"

static const option_t options[] = {
    {"--verify", NULL, "checkpoint: exit 0 intact, 1 damaged"},
    {"--hash", NULL, "checkpoint: SHA-256 over all tensors, 64 hex digits alone"},
    OPTION_JSON,
    OPTION_END,
};

static json_t *checkpoint_object(checkpoint_t *c) {
    char hash[SHA256_TEXT_BYTES];
    tensor_set_hash(&c->tensors, hash);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "step",
                     (json_int_t)c->progress.step, "epoch", (json_int_t)c->progress.epoch, "seed",
                     (json_int_t)c->seed, "virtual_shards", (json_int_t)c->virtual_shards,
                     "parameters", (json_int_t)c->parameters, "fingerprint", c->fingerprint, "data",
                     c->data_identity, "hash", hash);
}

static void print_object(const json_t *object, bool json) {
    if (json) {
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-16s %s\n", key, text);
        free(text);
    }
}

static status_t inspect_checkpoint(const arguments_t *arguments) {
    if (arguments_has(arguments, "--hash") && arguments_has(arguments, "--json")) {
        return status_fail(STATUS_INPUT, "--hash prints the digits alone; leave out --json (whose "
                                         "object has the hash too)");
    }
    checkpoint_t checkpoint = {0};
    TRY(checkpoint_read(arguments->positional[0], &checkpoint));
    json_t *object = checkpoint_object(&checkpoint);
    if (arguments_has(arguments, "--hash")) {
        printf("%s\n", json_string_value(json_object_get(object, "hash")));
    } else if (!arguments_has(arguments, "--verify")) {
        print_object(object, arguments_has(arguments, "--json"));
    } else {
        printf("intact\n");
    }
    json_decref(object);
    checkpoint_free(&checkpoint);
    return STATUS_OK;
}

static status_t inspect_data(const arguments_t *arguments) {
    dataset_config_t config = inspect_defaults(arguments->positional[0]);
    char *text = NULL;
    TRY(inspect_dataset(&config, &text));
    json_t *object = json_loads(text, 0, NULL);
    free(text);
    print_object(object, arguments_has(arguments, "--json"));
    json_decref(object);
    return STATUS_OK;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    char *manifest = text_format("%s/dataset.json", arguments->positional[0]);
    bool data = file_exists(manifest);
    free(manifest);
    bool of_checkpoint = arguments_has(arguments, "--verify") || arguments_has(arguments, "--hash");
    return data && !of_checkpoint ? inspect_data(arguments) : inspect_checkpoint(arguments);
}

const command_t command_inspect = {
    .name = "inspect",
    .synopsis = "DATADIR|CHECKPOINT [--verify | --hash] [--json]",
    .summary = "what a data directory or a checkpoint holds, and whether it is intact",
    .help = "CHECKPOINT: a run directory (its last), or one of its checkpoints.",
    .options = options,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
