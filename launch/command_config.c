#include <stdio.h>
#include <stdlib.h>

#include "launch/command.h"

status_t command_config_of(const arguments_t *arguments, int index, config_t **config_out) {
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    const char *path = index < arguments->positional_count ? arguments->positional[index] : NULL;
    return config_load(path, sets, count, config_out);
}

static const option_t options[] = {OPTION_SET, OPTION_JSON, OPTION_END};

/* With a file (or --set): the resolved configuration; without: every key that there is. */
static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    bool json = arguments_has(arguments, "--json");
    char *text = NULL;
    if (arguments->positional_count == 0 && !arguments_has(arguments, "--set")) {
        text = json ? config_table_json() : config_table_text();
    } else {
        config_t *config = NULL;
        TRY(command_config_of(arguments, 0, &config));
        text = json ? config_json(config) : config_yaml(config);
        config_free(config);
    }
    fputs(text, stdout);
    free(text);
    return STATUS_OK;
}

const command_t command_config = {
    .name = "config",
    .synopsis = "[CONFIG] [--set KEY=VALUE]... [--json]",
    .summary = "print the resolved configuration, or every key with default, bounds and help",
    .help = "",
    .options = options,
    .positional_max = 1,
    .run = run,
};
