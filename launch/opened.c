#include "launch/opened.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static status_t split_of(const arguments_t *arguments, split_t *split_out) {
    const char *name = arguments_value(arguments, "--split");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (strcmp(name != NULL ? name : "test", split_name((split_t)s)) == 0) {
            *split_out = (split_t)s;
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_INPUT, "--split %s: train, valid or test is expected", name);
}

/* --data, else the configuration's, else the synthetic data beside the run's checkpoints. */
static status_t data_of(const arguments_t *arguments, const config_t *config, char **path_out) {
    const char *given = arguments_value(arguments, "--data");
    if (given != NULL || config->data.path[0] != '\0') {
        *path_out = text_copy(given != NULL ? given : config->data.path);
        return STATUS_OK;
    }
    char *directory = NULL;
    TRY(checkpoint_resolve(arguments->positional[0], &directory));
    *path_out = text_format("%s/../../data", directory);
    free(directory);
    return STATUS_OK;
}

/* "last" of RUN/checkpoints/last. */
static status_t checkpoint_name(const char *path, char **name_out) {
    char *directory = NULL;
    TRY(checkpoint_resolve(path, &directory));
    for (size_t end = strlen(directory); end > 1 && directory[end - 1] == '/'; end--) {
        directory[end - 1] = '\0';
    }
    const char *slash = strrchr(directory, '/');
    *name_out = text_copy(slash != NULL ? slash + 1 : directory);
    free(directory);
    return STATUS_OK;
}

static status_t open_parts(const arguments_t *arguments, bool every_window, opened_t *opened) {
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    const char *path = arguments->positional[0];
    checkpoint_t *checkpoint = &opened->checkpoint;
    TRY(split_of(arguments, &opened->split));
    TRY(checkpoint_read_weights(path, checkpoint));
    TRY(checkpoint_name(path, &opened->name));
    const char *every[OPTION_VALUES_MAX + 1] = {"evaluation.every_window=true"};
    for (int i = 0; i < count; i++) {
        every[i + 1] = sets[i];
    }
    TRY(config_parse_stored(checkpoint->config_yaml, path, every_window ? every : sets,
                            every_window ? count + 1 : count, &opened->config));
    TRY(evaluation_settings(checkpoint, path, opened->config, &opened->settings));
    return data_of(arguments, opened->config, &opened->data_path);
}

status_t opened_open(comm_t *comm, const arguments_t *arguments, bool every_window,
                     opened_t *opened) {
    *opened = (opened_t){.split = SPLIT_TEST};
    TRY(comm_agree(comm, open_parts(arguments, every_window, opened), NULL));
    comm_set_timeout(comm, opened->config->comm.timeout_s);
    return STATUS_OK;
}

void opened_close(opened_t *opened) {
    checkpoint_free(&opened->checkpoint);
    config_free(opened->config);
    free(opened->data_path);
    free(opened->settings);
    free(opened->name);
}

status_t opened_trainer(comm_t *comm, const config_t *config, const evaluation_source_t *source,
                        split_t split, trainer_t **trainer_out) {
    trainer_t *t = NULL;
    TRY(trainer_open_checkpoint(config, comm, source->data_path, source->checkpoint, &t));
    status_t status = STATUS_OK;
    if (dataset_sample_count(t->dataset, split) == 0) {
        status = status_fail(STATUS_INPUT,
                             "the split %s has no recordings; see jmt inspect "
                             "%s, or choose another with --split",
                             split_name(split), source->data_path);
    } else {
        status = evaluation_check(source->checkpoint, t, split);
    }
    status = comm_agree(comm, status, NULL);
    if (status != STATUS_OK) {
        trainer_close(t);
        return status;
    }
    *trainer_out = t;
    return STATUS_OK;
}

status_t opened_answer(const arguments_t *arguments, const char *json,
                       void (*show)(const char *json)) {
    const char *out = arguments_value(arguments, "--out");
    status_t status = out != NULL ? file_write_durable(out, json, strlen(json)) : STATUS_OK;
    if (arguments_has(arguments, "--json")) {
        printf("%s\n", json);
    } else {
        show(json);
    }
    return status;
}
