#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "trainer/checkpoint.h"
#include "trainer/extract.h"

static const option_t options[] = {
    OPTION_SET,
    {"--data", "DIR", "data directory (default: data.path)"},
    {"--out", "DIR", "data directory to write"},
    OPTION_END,
};

typedef struct opened {
    bool trained; /* of a checkpoint */
    checkpoint_t checkpoint;
    config_t *config;
    const char *data_path, *out;
} opened_t;

static status_t open_config(const arguments_t *arguments, opened_t *opened) {
    const char *path = arguments->positional[0];
    if (command_is_config(path)) {
        return command_config_of(arguments, 0, &opened->config);
    }
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    TRY(checkpoint_read_weights(path, &opened->checkpoint));
    opened->trained = true;
    return config_parse_stored(opened->checkpoint.config_yaml, path, sets, count, &opened->config);
}

static status_t open_all(const arguments_t *arguments, opened_t *opened) {
    opened->out = arguments_value(arguments, "--out");
    if (opened->out == NULL) {
        return status_fail(STATUS_INPUT, "--out DIR is missing; see jmt extract --help");
    }
    TRY(open_config(arguments, opened));
    const char *data = arguments_value(arguments, "--data");
    opened->data_path = data != NULL ? data : opened->config->data.path;
    return STATUS_OK;
}

static status_t open_trainer(comm_t *comm, const opened_t *opened, trainer_t **trainer_out) {
    const config_t *config = opened->config;
    if (opened->trained) {
        return trainer_open_checkpoint(config, comm, opened->data_path, &opened->checkpoint,
                                       trainer_out);
    }
    trainer_t *t = NULL;
    TRY(trainer_open(config, comm, opened->data_path, NULL, NULL, false, &t));
    status_t status = trainer_init_weights(t, true);
    if (status != STATUS_OK) {
        trainer_close(t);
        return status;
    }
    *trainer_out = t;
    return STATUS_OK;
}

static bool is_initialised(const config_t *config, const char *modality) {
    for (int i = 0; i < config->init_count; i++) {
        const char *name = config->init[i].name;
        if (strcmp(name, modality) == 0 || strcmp(name, "model") == 0) {
            return true;
        }
    }
    return false;
}

static void say(const opened_t *opened, const extracted_t *made) {
    printf("data:\n  path: %s\nmodalities:\n", opened->out);
    for (int i = 0; i < made->count; i++) {
        const char *name = made->modality[i]->name;
        printf("  %s: {dim: %lld} # in place of backbone %s, and of its clip, dilation, size, "
               "reduce, frozen, batch_norm\n",
               name, (long long)made->dim[i], made->modality[i]->backbone);
        if (!opened->trained && !is_initialised(opened->config, name)) {
            log_warning("backbone %s of %s has the weights that the seed makes; set init.%s to "
                        "trained ones",
                        made->modality[i]->backbone, name, name);
        }
    }
    if (made->known) {
        log_info(
            "these features know people, by the weights or by data.standardize: none of them is "
            "scored as held out, so keep split.*");
    }
}

static status_t extract(comm_t *comm, const opened_t *opened) {
    trainer_t *t = NULL;
    extracted_t made = {0};
    TRY(open_trainer(comm, opened, &t));
    const char *people = opened->trained ? opened->checkpoint.trained_on : NULL;
    status_t status = extract_features(t, people, opened->data_path, opened->out, &made);
    if (status == STATUS_OK && comm_rank(comm) == 0) {
        say(opened, &made);
    }
    trainer_close(t);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    opened_t opened = {0};
    status_t status = comm_agree(comm, open_all(arguments, &opened), NULL);
    if (status == STATUS_OK) {
        comm_set_timeout(comm, opened.config->comm.timeout_s);
        status = extract(comm, &opened);
    }
    checkpoint_free(&opened.checkpoint);
    config_free(opened.config);
    return status;
}

static const example_t examples[] = {
    {"jmt extract configs/biovid/jmt.yaml --set init.video=r3d_18.pth --out data/biovid-512",
     "a backbone as published"},
    {"jmt launch -n 4 extract runs/video/checkpoints/best-ccc --out data/biovid-512",
     "one that was trained here"},
    EXAMPLE_END,
};

const command_t command_extract = {
    .name = "extract",
    .group = GROUP_DATA,
    .synopsis = "CONFIG|CHECKPOINT --out DIR [--data DIR] [--set KEY=VALUE]...",
    .summary = "run frozen backbones once; their features become a data directory",
    .help =
        "Every modality that has a backbone is replaced by what the backbone makes of it at each "
        "step of each recording, whatever its split; everything else is copied. A training on DIR "
        "has the bits of one through the frozen backbones, at a fraction of the time: the last "
        "lines say what to put into the configuration. The rate of the steps, the targets that set "
        "it, and split.* where data.standardize goes by it, are to stay.\nWeights are those of a "
        "CONFIG (a path that ends in .yaml: seed and init.NAME) or of a CHECKPOINT.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .collective = true,
    .run = run,
};
