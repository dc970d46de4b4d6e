/* command.h - the subcommands of jmt, one row and one file each. */
#ifndef JMT_COMMAND_H
#define JMT_COMMAND_H

#include "comm/comm.h"
#include "configs/config.h"
#include "launch/arguments.h"

typedef struct command {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    const char *help;     /* further lines, or "" */
    const option_t *options;
    int positional_min, positional_max;
    bool rest;       /* from the first positional on nothing is an option: `launch` */
    bool collective; /* runs on all ranks of a job; others run on rank 0 alone */
    status_t (*run)(comm_t *comm, const arguments_t *arguments);
} command_t;

extern const command_t command_train, command_evaluate, command_shard, command_inspect,
    command_export, command_plan, command_step, command_config, command_doctor, command_launch,
    command_table, command_cv, command_bench;

/* --set, --json and the like, declared once. */
#define OPTION_SET                                                                                 \
    { "--set", "KEY=VALUE", "override a setting of the configuration; may be repeated" }
#define OPTION_JSON                                                                                \
    { "--json", NULL, "print one JSON object on stdout" }
#define OPTION_END                                                                                 \
    { NULL, NULL, NULL }

/* The CONFIG at positional `index` with --set applied. */
status_t command_config_of(const arguments_t *arguments, int index,
                           config_t **config_out) MUST_CHECK;

/* What --version prints, as JSON; caller frees. */
char *version_json(void);

#endif
