/* command.h - the subcommands of jmt, one row and one file each. Help, man page and completion are
 * made from these rows and from nothing else. */
#ifndef JMT_COMMAND_H
#define JMT_COMMAND_H

#include "comm/comm.h"
#include "configs/config.h"
#include "launch/arguments.h"

typedef enum {
    GROUP_CHECK,
    GROUP_TRAIN,
    GROUP_DATA,
    GROUP_RESULT,
    GROUP_BEFORE,
    GROUP_COUNT
} command_group_t;

typedef struct example {
    const char *line; /* what to type */
    const char *what; /* what it does, or "" */
} example_t;

typedef struct word {
    const char *word, *what;
} word_t;

enum { TERMS_MAX = 16 };

typedef struct command {
    const char *name;
    command_group_t group;
    const char *synopsis; /* what follows the name; "\n" between alternatives */
    const char *summary;  /* one line */
    const char *help;     /* paragraphs, "\n" between them; wrapped where they are printed */
    const option_t *options;
    const example_t *examples; /* ends with line NULL; NULL: none */
    const char *exit_codes;    /* what they mean here; NULL: as everywhere */
    const char *terms_title;   /* of a list of words that the synopsis has as one; NULL: none */
    int (*terms)(word_t terms_out[TERMS_MAX]);
    int positional_min, positional_max;
    bool rest;       /* from the first positional on nothing is an option: `launch` */
    bool collective; /* runs on all ranks of a job; others run on rank 0 alone */
    status_t (*run)(comm_t *comm, const arguments_t *arguments);
} command_t;

extern const command_t *const command_list[]; /* ends with NULL */

extern const command_t command_train, command_evaluate, command_shard, command_inspect,
    command_export, command_plan, command_step, command_config, command_doctor, command_launch,
    command_table, command_cv, command_bench, command_completion, command_extract,
    command_robustness;

/* --set, --json and the like, declared once. */
#define OPTION_SET                                                                                 \
    { "--set", "KEY=VALUE", "override a setting of the configuration; may be repeated" }
#define OPTION_JSON                                                                                \
    { "--json", NULL, "print one JSON object on stdout" }
#define OPTION_END                                                                                 \
    { NULL, NULL, NULL }
#define EXAMPLE_END                                                                                \
    { NULL, NULL }

/* Of CONFIG|CHECKPOINT: a path that ends in .yaml. */
bool command_is_config(const char *path);
/* The CONFIG at positional `index` with --set applied. */
status_t command_config_of(const arguments_t *arguments, int index,
                           config_t **config_out) MUST_CHECK;

/* What --version prints, as JSON; caller frees. */
char *version_json(void);

#endif
