#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "launch/command.h"
#include "trainer/run_table.h"

static const option_t options[] = {
    {"--format", "md|csv|latex|json", "default md"},
    OPTION_END,
};

/* On stderr: a number says little without what is reached by who saw nothing. */
static void say_missing(const run_table_t *table) {
    char *missing = run_table_missing(table);
    fflush(stdout);
    if (missing[0] != '\0') {
        log_info("the table has no control row of: %s", missing);
    }
    free(missing);
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    run_table_t *table = NULL;
    TRY(run_table_open(arguments->positional, arguments->positional_count, &table));
    const char *format = arguments_value(arguments, "--format");
    char *text = NULL;
    status_t status = STATUS_OK;
    if (format != NULL && strcmp(format, "json") == 0) {
        text = run_table_json(table);
        printf("%s\n", text);
    } else {
        status = run_table_text(table, format != NULL ? format : "md", &text);
        if (status == STATUS_OK) {
            printf("%s", text);
        }
    }
    free(text);
    if (status == STATUS_OK) {
        say_missing(table);
    }
    run_table_close(table);
    return status;
}

static const example_t examples[] = {
    {"jmt table runs/mosi-*", ""},
    {"jmt table runs/cv-jmt runs/cv-concat --format latex", ""},
    EXAMPLE_END,
};

const command_t command_table = {
    .name = "table",
    .group = GROUP_RESULT,
    .synopsis = "RUN... [--format md|csv|latex|json]",
    .summary = "runs side by side: a row for each model, spread over seeds",
    .help =
        "RUN is a directory of jmt train that holds evaluation.json (jmt evaluate ... --out), or "
        "one of jmt cv (a run is then a seed, pooled over its folds). Runs that differ in more "
        "than "
        "their seed are rows of their own, named by the settings in which they differ. \"selected "
        "on\" says what chose the checkpoint, on held-out training people; n is the number of "
        "labels scored.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = POSITIONALS_MAX,
    .run = run,
};
