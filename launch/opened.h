/* opened.h - the CHECKPOINT of a command line, with --set, --data and --split, ready to predict;
 * and the answer, to --out and stdout. */
#ifndef JMT_OPENED_H
#define JMT_OPENED_H

#include "launch/arguments.h"
#include "launch/command.h"
#include "trainer/checkpoint.h"
#include "trainer/evaluation_record.h"

/* What opened_open and opened_answer read. */
#define OPENED_OPTIONS                                                                             \
    OPTION_SET, {"--data", "DIR", "data directory (default: the one it was trained on)"},          \
        {"--split", "train|valid|test", "default test"},                                           \
        {"--out", "FILE", "write the JSON object to FILE, whole or not at all"}, OPTION_JSON

typedef struct opened {
    checkpoint_t checkpoint;
    config_t *config;
    split_t split;
    char *data_path, *settings, *name; /* as of evaluation_source_t */
} opened_t;

/* Collective. every_window: whatever the configuration says. To be closed whatever is returned. */
status_t opened_open(comm_t *comm, const arguments_t *arguments, bool every_window,
                     opened_t *opened_out) MUST_CHECK;
void opened_close(opened_t *opened);

/* Collective. STATUS_INPUT: the split is empty, or has people that were trained on. */
status_t opened_trainer(comm_t *comm, const config_t *config, const evaluation_source_t *source,
                        split_t split, trainer_t **trainer_out) MUST_CHECK;

/* A JSON object to the file of --out; to stdout with --json, else as `show` shows it. */
status_t opened_answer(const arguments_t *arguments, const char *json,
                       void (*show)(const char *json)) MUST_CHECK;

#endif
