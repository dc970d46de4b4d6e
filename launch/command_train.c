#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "trainer/run_directory.h"
#include "trainer/timeline.h"
#include "trainer/train.h"

static const option_t options[] = {
    OPTION_SET,
    {"--run", "DIR", "run directory (default: runs/ and the configuration's name)"},
    {"--steps", "N", "stop after N optimiser steps in total, whatever epochs says"},
    {"--resume", "DIR|auto", "go on from DIR's last checkpoint; auto: from --run's, if it has one"},
    {"--dry-run", NULL, "open everything, check it, train nothing"},
    {"--overfit", "N", "train on the first N samples only"},
    {"--profile", "[FILE]", "write a timeline of all ranks (default: timeline.json of the run)"},
    {"--profile-steps", "A:B", "of these steps (default: 20, behind the first 5)"},
    OPTION_END,
};

/* configs/mosi/jmt.yaml -> runs/mosi-jmt */
static char *default_run(const char *config_path) {
    const char *name = strncmp(config_path, "configs/", 8) == 0 ? config_path + 8 : config_path;
    const char *slash = strrchr(name, '/');
    if (name == config_path && slash != NULL) {
        name = slash + 1;
    }
    char *run = text_format("runs/%s", name);
    char *dot = strrchr(run, '.');
    if (dot != NULL && strcmp(dot, ".yaml") == 0) {
        *dot = '\0';
    }
    for (char *c = run + 5; *c != '\0'; c++) {
        *c = *c == '/' ? '-' : *c;
    }
    return run;
}

/* --run, else where the checkpoint to resume lies, else named after the configuration. */
static status_t directory_of(const arguments_t *arguments, const char *resume,
                             char **directory_out) {
    const char *given = arguments_value(arguments, "--run");
    if (given == NULL && resume != NULL && strcmp(resume, "auto") != 0) {
        return run_directory_of(resume, directory_out);
    }
    *directory_out = given != NULL ? text_copy(given) : default_run(arguments->positional[0]);
    return STATUS_OK;
}

/* A:B, both counted. */
static status_t steps_of(const char *text, int64_t *first_out, int64_t *last_out) {
    char *colon = NULL, *end = NULL;
    errno = 0;
    *first_out = strtoll(text, &colon, 10);
    *last_out = colon != text && *colon == ':' ? strtoll(colon + 1, &end, 10) : 0;
    bool whole = errno == 0 && end != NULL && end != colon + 1 && *end == '\0';
    if (!whole || *first_out < 1 || *last_out < *first_out ||
        *last_out - *first_out >= TIMELINE_STEPS_MAX) {
        return status_fail(
            STATUS_INPUT,
            "--profile-steps %s: two steps A:B are expected, 1 <= A <= B, at most %d "
            "of them",
            text, TIMELINE_STEPS_MAX);
    }
    return STATUS_OK;
}

/* profile_out: caller frees; NULL: none is asked for. */
static status_t profile_of(const arguments_t *arguments, train_options_t *into,
                           char **profile_out) {
    const char *file = arguments_value(arguments, "--profile");
    const char *steps = arguments_value(arguments, "--profile-steps");
    *profile_out = NULL;
    if (steps != NULL) {
        TRY(steps_of(steps, &into->profile_first, &into->profile_last));
        if (file == NULL) {
            return status_fail(STATUS_INPUT, "--profile-steps without --profile; add --profile");
        }
    }
    if (file != NULL && command_is_config(file)) {
        return status_fail(STATUS_INPUT,
                           "--profile would be written to %s; put CONFIG first, or name another "
                           "file: --profile=FILE",
                           file);
    }
    if (file != NULL) {
        *profile_out = file[0] != '\0' ? text_copy(file)
                                       : text_format("%s/timeline.json", into->run_directory);
    }
    return STATUS_OK;
}

static status_t train(comm_t *comm, const arguments_t *arguments, const config_t *config) {
    train_options_t train_options = {.resume = arguments_value(arguments, "--resume"),
                                     .dry_run = arguments_has(arguments, "--dry-run")};
    status_t status =
        arguments_integer(arguments, "--steps", 1, INT64_MAX, 0, &train_options.steps);
    if (status == STATUS_OK) {
        status = arguments_integer(arguments, "--overfit", 1, INT64_MAX, 0, &train_options.overfit);
    }
    TRY(comm_agree(comm, status, NULL));
    char *directory = NULL;
    TRY(comm_agree(comm, directory_of(arguments, train_options.resume, &directory), NULL));
    if (directory[0] == '\0') {
        status = status_fail(STATUS_INPUT, "--run is empty; give a directory");
        free(directory);
        return comm_agree(comm, status, NULL);
    }
    char *profile = NULL;
    train_options.run_directory = directory;
    status = comm_agree(comm, profile_of(arguments, &train_options, &profile), NULL);
    train_options.profile = profile;
    if (status == STATUS_OK) {
        status = train_run(config, comm, &train_options);
    }
    free(profile);
    free(directory);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    config_t *config = NULL;
    status_t status = command_config_of(arguments, 0, &config);
    status = comm_agree(comm, status, NULL);
    if (status == STATUS_OK) {
        comm_set_timeout(comm, config->comm.timeout_s);
        status = train(comm, arguments, config);
    }
    config_free(config);
    return status;
}

static const example_t examples[] = {
    {"jmt train configs/tiny/jmt.yaml --run runs/one",
     "without data.path: on synthetic data that it writes first"},
    {"jmt train configs/tiny/jmt.yaml --run runs/one --resume auto",
     "go on after a stop or a crash"},
    {"jmt train configs/mosi/jmt.yaml --set optimizer.learning_rate=1e-3 --set epochs=20", ""},
    {"jmt train configs/mosi/jmt.yaml --set init.text=runs/mosi-text",
     "begin with another run's front end; .safetensors, .pt and .pth do as well"},
    {"jmt launch -n 4 train configs/mosi/jmt.yaml --profile --profile-steps 90:100",
     "open runs/mosi-jmt/timeline.json in https://ui.perfetto.dev"},
    EXAMPLE_END,
};

const command_t command_train = {
    .name = "train",
    .group = GROUP_TRAIN,
    .synopsis = "CONFIG [--run DIR] [--set KEY=VALUE]... [--steps N] [--resume DIR|auto] "
                "[--dry-run] [--overfit N] [--profile [FILE]] [--profile-steps A:B]",
    .summary = "train a model; the same result on any number of ranks",
    .help = "CONFIG is a YAML file; jmt config lists what can stand in it. The run directory gets "
            "config.yaml, manifest.json, metrics.jsonl (a line for each step, validation and "
            "checkpoint) and checkpoints/ with last and best-METRIC.\nOn a terminal a bar shows "
            "the loss of the last step, the last and the best value of the metric that selects the "
            "checkpoint, samples per second and the wait for data in a step (both of about the "
            "last second), and the time left. In a log there is a line at most every few seconds "
            "instead.\nCtrl-C, SIGTERM and SIGUSR1 save a checkpoint and stop.\n--profile: what "
            "each rank did in some steps, by operation of the model, as a Chrome trace that "
            "Perfetto opens; a validation and a checkpoint behind the last step are in it.",
    .options = options,
    .examples = examples,
    .exit_codes = "0 done, 1 failed (a full disk, a lost rank), 2 bad configuration or data, 75 "
                  "stopped by a signal: --resume auto goes on.",
    .positional_min = 1,
    .positional_max = 1,
    .collective = true,
    .run = run,
};
