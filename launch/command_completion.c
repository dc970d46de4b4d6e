#include "launch/help.h"

static const option_t options[] = {OPTION_END};

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    return help_completion(stdout, arguments->positional[0]);
}

static const example_t examples[] = {
    {"eval \"$(jmt completion bash)\"", "for this shell; in ~/.bashrc for all"},
    {"jmt completion zsh > ~/.zfunc/_jmt", "for zsh, with ~/.zfunc in fpath"},
    EXAMPLE_END,
};

const command_t command_completion = {
    .name = "completion",
    .group = GROUP_CHECK,
    .synopsis = "bash|zsh",
    .summary = "completion of commands, options and settings for a shell",
    .help = "An installed jmt has put both where shells look for them.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
