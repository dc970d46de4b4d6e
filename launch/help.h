/* help.h - the table of commands as help, man page and shell completion. */
#ifndef JMT_HELP_H
#define JMT_HELP_H

#include <stdio.h>

#include "launch/command.h"

void help_all(FILE *stream);                                          /* jmt --help */
void help_command(FILE *stream, const command_t *command);            /* jmt COMMAND --help */
void help_man(FILE *stream);                                          /* jmt.1, in roff */
status_t help_completion(FILE *stream, const char *shell) MUST_CHECK; /* "bash" or "zsh" */

/* What the three have in common. */
extern const word_t help_exit_codes[], help_environment[]; /* end with word NULL */
extern const char help_title[];
extern const option_t help_option; /* that each command has */

/* The command of this name, and the nearest one to a name that none has; NULL: none. */
const command_t *command_find(const char *name);
const command_t *command_nearest(const char *name);

#endif
