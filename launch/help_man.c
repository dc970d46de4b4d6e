#include <string.h>

#include "launch/help.h"

/* Text for roff: no escape, no request, a minus that can be copied. */
static void put(FILE *stream, const char *text) {
    bool line_begins = true;
    for (const char *at = text; *at != '\0'; at++) {
        if (line_begins && (*at == '.' || *at == '\'')) {
            fputs("\\&", stream);
        }
        line_begins = *at == '\n';
        if (*at == '\n') {
            fputs("\n.br\n", stream);
        } else if (*at == '\\') {
            fputs("\\e", stream);
        } else if (*at == '-') {
            fputs("\\-", stream);
        } else {
            fputc(*at, stream);
        }
    }
}

static void put_term(FILE *stream, const char *term, const char *value, const char *what) {
    fputs(".TP\n\\fB", stream);
    put(stream, term);
    fputs("\\fR", stream);
    if (value != NULL) {
        fputs(" \\fI", stream);
        put(stream, value);
        fputs("\\fR", stream);
    }
    fputc('\n', stream);
    put(stream, what);
    fputc('\n', stream);
}

static void put_synopsis(FILE *stream, const command_t *command) {
    for (const char *line = command->synopsis; line != NULL;) {
        const char *end = strchr(line, '\n');
        char text[512];
        snprintf(text, sizeof text, "%.*s", end != NULL ? (int)(end - line) : 500, line);
        fprintf(stream, "%s\\fBjmt %s\\fR ", line == command->synopsis ? ".P\n" : ".br\n",
                command->name);
        put(stream, text);
        fputc('\n', stream);
        line = end != NULL ? end + 1 : NULL;
    }
}

static void put_terms(FILE *stream, const command_t *command) {
    word_t terms[TERMS_MAX];
    int count = command->terms_title != NULL ? command->terms(terms) : 0;
    if (count > 0) {
        fprintf(stream, ".P\n%s:\n", command->terms_title);
    }
    for (int i = 0; i < count; i++) {
        put_term(stream, terms[i].word, NULL, terms[i].what);
    }
}

static void put_command(FILE *stream, const command_t *command) {
    fprintf(stream, ".SS %s\n", command->name);
    put_synopsis(stream, command);
    fputs(".P\n", stream);
    put(stream, command->summary);
    fputc('\n', stream);
    if (command->help[0] != '\0') {
        fputs(".P\n", stream);
        put(stream, command->help);
        fputc('\n', stream);
    }
    for (const option_t *option = command->options; option->name != NULL; option++) {
        put_term(stream, option->name, option->value, option->help);
    }
    put_term(stream, help_option.name, help_option.value, help_option.help);
    put_terms(stream, command);
    if (command->exit_codes != NULL) {
        fputs(".P\nExit codes: ", stream);
        put(stream, command->exit_codes);
        fputc('\n', stream);
    }
    for (const example_t *e = command->examples; e != NULL && e->line != NULL; e++) {
        fputs(e == command->examples ? ".P\nExamples:\n" : "", stream);
        put_term(stream, e->line, NULL, e->what);
    }
}

void help_man(FILE *stream) {
    fprintf(stream, ".TH JMT 1 \"\" \"jmt %s\"\n.ad l\n.nh\n.SH NAME\njmt \\- %s\n.SH SYNOPSIS\n",
            JMT_VERSION, help_title);
    fputs("\\fBjmt\\fR \\fICOMMAND\\fR ...\n.br\n\\fBjmt\\fR \\fICOMMAND\\fR \\fB\\-\\-help\\fR\n"
          ".br\n\\fBjmt \\-\\-version\\fR [\\fB\\-\\-json\\fR]\n.SH COMMANDS\n",
          stream);
    for (int i = 0; command_list[i] != NULL; i++) {
        put_command(stream, command_list[i]);
    }
    fputs(".SH EXIT STATUS\n", stream);
    for (const word_t *code = help_exit_codes; code->word != NULL; code++) {
        put_term(stream, code->word, NULL, code->what);
    }
    fputs(".P\nA failure is one line on standard error over all ranks:\n"
          ".B jmt: error: [WHERE: ]CAUSE; REMEDY\n.SH ENVIRONMENT\n",
          stream);
    for (const word_t *name = help_environment; name->word != NULL; name++) {
        put_term(stream, name->word, NULL, name->what);
    }
    fputs(".SH SEE ALSO\n.BR mpirun (1),\n.BR srun (1)\n", stream);
}
