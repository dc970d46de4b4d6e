#include <ctype.h>
#include <string.h>

#include "configs/config.h"
#include "data-sharding/import.h"
#include "launch/help.h"

/* --- what may follow ------------------------------------------------------------------------- */

/* Of a value such as "DIR|auto": the words that can be typed as they are, then what kind of thing
 * the rest names. */
typedef struct kind {
    char words[256];
    bool directory, file;
} kind_t;

static kind_t kind_of(const char *value) {
    kind_t kind = {.words = ""};
    char text[256];
    snprintf(text, sizeof text, "%s", value);
    char *save = NULL;
    for (char *part = strtok_r(text, "|[]", &save); part != NULL;
         part = strtok_r(NULL, "|[]", &save)) {
        size_t used = strlen(kind.words);
        if (strcmp(part, "DIR") == 0) {
            kind.directory = true;
        } else if (strcmp(part, "FILE") == 0) {
            kind.file = true;
        } else if (islower((unsigned char)part[0])) {
            snprintf(kind.words + used, sizeof kind.words - used, "%s%s", used > 0 ? " " : "",
                     part);
        }
    }
    return kind;
}

static void put_commands(FILE *stream, const char *between) {
    for (int i = 0; command_list[i] != NULL; i++) {
        fprintf(stream, "%s%s", i > 0 ? between : "", command_list[i]->name);
    }
}

/* Settings with a name of their own; those of modalities and targets depend on the names given. */
static void put_keys(FILE *stream) {
    for (int i = 0; config_key(i) != NULL; i++) {
        fprintf(stream, "%s%s=", i > 0 ? " " : "", config_key(i));
    }
}

static void put_importers(FILE *stream) {
    int count = 0;
    const importer_t *const *list = import_list(&count);
    for (int i = 0; i < count; i++) {
        fprintf(stream, "%s%s", i > 0 ? " " : "", list[i]->name);
    }
}

/* Words that can stand first behind the command; anything else is a path. */
static bool put_arguments(FILE *stream, const command_t *command) {
    if (command == &command_shard) {
        put_importers(stream);
    } else if (command == &command_completion) {
        fputs("bash zsh", stream);
    } else if (command == &command_launch) {
        put_commands(stream, " ");
    } else {
        return false;
    }
    return true;
}

static bool is_set_of_config(const command_t *command, const option_t *option) {
    return strcmp(option->name, "--set") == 0 && command != &command_shard;
}

/* --- bash ------------------------------------------------------------------------------------ */

static void bash_values(FILE *stream, const command_t *command) {
    for (const option_t *option = command->options; option->name != NULL; option++) {
        if (option->value == NULL) {
            continue;
        }
        kind_t kind = kind_of(option->value);
        fprintf(stream, "    '%s %s') ", command->name, option->name);
        if (is_set_of_config(command, option)) {
            fputs("compopt -o nospace; COMPREPLY=($(compgen -W \"$keys\" -- \"$cur\"))", stream);
        } else {
            fprintf(stream, "COMPREPLY=($(compgen %s -W '%s' -- \"$cur\"))",
                    kind.directory ? "-d"
                    : kind.file    ? "-f"
                                   : "",
                    kind.words);
        }
        fputs("; return ;;\n", stream);
    }
}

static void bash_words(FILE *stream, const command_t *command) {
    fprintf(stream, "    %s) options='", command->name);
    for (const option_t *option = command->options; option->name != NULL; option++) {
        fprintf(stream, "%s ", option->name);
    }
    fprintf(stream, "%s'; words='", help_option.name);
    put_arguments(stream, command);
    fputs("' ;;\n", stream);
}

static void bash(FILE *stream) {
    fputs("# Completion for bash, made by: jmt completion bash\n"
          "_jmt() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local command= options='--help --version' words i keys='",
          stream);
    put_keys(stream);
    fputs("'\n    words='", stream);
    put_commands(stream, " ");
    fputs("'\n    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n        launch) command=launch ;;\n        ",
          stream);
    put_commands(stream, "|");
    fputs(") command=${COMP_WORDS[i]}; break ;;\n"
          "        esac\n    done\n    case \"$command $prev\" in\n",
          stream);
    for (int i = 0; command_list[i] != NULL; i++) {
        bash_values(stream, command_list[i]);
    }
    fputs("    esac\n    case $command in\n", stream);
    for (int i = 0; command_list[i] != NULL; i++) {
        bash_words(stream, command_list[i]);
    }
    fputs("    esac\n"
          "    case $cur in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    esac\n"
          "}\n"
          "complete -o default -F _jmt jmt\n",
          stream);
}

/* --- zsh ------------------------------------------------------------------------------------- */

/* Within '...' and [...] of _arguments. */
static void zsh_text(FILE *stream, const char *text) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'') {
            fputs("'\\''", stream);
        } else if (strchr("[]:\\", *at) != NULL) {
            fprintf(stream, "\\%c", *at);
        } else {
            fputc(*at == '\n' ? ' ' : *at, stream);
        }
    }
}

static void zsh_option(FILE *stream, const command_t *command, const option_t *option) {
    fprintf(stream, " \\\n            '*%s[", option->name);
    zsh_text(stream, option->help);
    fputs("]", stream);
    if (option->value != NULL) {
        kind_t kind = kind_of(option->value);
        fputs(option->value[0] == '[' ? "::" : ":", stream);
        zsh_text(stream, option->value);
        fputs(":", stream);
        if (is_set_of_config(command, option)) {
            fputs("_jmt_keys", stream);
        } else if (kind.directory) {
            fputs("_files -/", stream);
        } else if (kind.file) {
            fputs("_files", stream);
        } else if (kind.words[0] != '\0') {
            fprintf(stream, "(%s)", kind.words);
        }
    }
    fputs("'", stream);
}

static void zsh_command(FILE *stream, const command_t *command) {
    fprintf(stream, "    %s)\n        _arguments", command->name);
    for (const option_t *option = command->options; option->name != NULL; option++) {
        zsh_option(stream, command, option);
    }
    zsh_option(stream, command, &help_option);
    if (command == &command_launch) {
        fputs(" \\\n            '1:command:_jmt_commands' '*::argument:_jmt_command'", stream);
    } else if (command == &command_shard || command == &command_completion) {
        fputs(" \\\n            '1:word:(", stream);
        put_arguments(stream, command);
        fputs(")'", stream);
    } else if (command->positional_max > 0) {
        fputs(" \\\n            '*:path:_files'", stream);
    }
    fputs(" ;;\n", stream);
}

static void zsh(FILE *stream) {
    fputs("#compdef jmt\n# Completion for zsh, made by: jmt completion zsh\n"
          "_jmt_keys() {\n    compadd -S '' -- ",
          stream);
    put_keys(stream);
    fputs("\n}\n_jmt_commands() {\n    local -a commands=(", stream);
    for (int i = 0; command_list[i] != NULL; i++) {
        fprintf(stream, "\n        '%s:", command_list[i]->name);
        zsh_text(stream, command_list[i]->summary);
        fputs("'", stream);
    }
    fputs(")\n    _describe command commands\n}\n_jmt_command() {\n    case $words[1] in\n",
          stream);
    for (int i = 0; command_list[i] != NULL; i++) {
        zsh_command(stream, command_list[i]);
    }
    fputs("    esac\n}\n_jmt() {\n"
          "    local curcontext=$curcontext state line\n"
          "    _arguments -C '--help[the list of commands]' '--version[print the version]' \\\n"
          "        '1:command:_jmt_commands' '*::argument:_jmt_command'\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _jmt ]; then _jmt \"$@\"; else compdef _jmt jmt; fi\n",
          stream);
}

status_t help_completion(FILE *stream, const char *shell) {
    if (strcmp(shell, "bash") == 0) {
        bash(stream);
    } else if (strcmp(shell, "zsh") == 0) {
        zsh(stream);
    } else {
        return status_fail(STATUS_INPUT, "no completion for '%s'; there are: bash, zsh", shell);
    }
    return STATUS_OK;
}
