#include "launch/help.h"

#include <string.h>

#include "configs/config.h"
#include "kernels/base/bytes.h"
#include "launch/page.h"

enum { OPTION_INDENT = 28, COMMAND_INDENT = 14, SYNOPSIS_BYTES = 1024 };

const char help_title[] = "joint multimodal transformers for emotion and pain, on many ranks";

static const char *const group_titles[GROUP_COUNT] = {
    [GROUP_BEFORE] = "Before a run",      [GROUP_DATA] = "Data",
    [GROUP_TRAIN] = "Training",           [GROUP_RESULT] = "Results",
    [GROUP_CHECK] = "Checks and helpers",
};
static const command_group_t group_order[GROUP_COUNT] = {GROUP_TRAIN, GROUP_DATA, GROUP_RESULT,
                                                         GROUP_BEFORE, GROUP_CHECK};

const option_t help_option = {"--help", NULL, "this text"};

const word_t help_exit_codes[] = {
    {"0", "done"},
    {"1", "failed: a full disk, a lost rank, damaged bytes"},
    {"2", "usage, configuration or bad input"},
    {"3", "not in this build or on this machine"},
    {"75", "stopped; --resume auto goes on"},
    {NULL, NULL},
};

const word_t help_environment[] = {
    {"JMT_ISA", "generic, avx2 or avx512: compute with these instructions instead of the best"},
    {"NO_COLOR", "if set, no colours; where there is no terminal there are none anyway"},
    {"TERM", "dumb: neither colours nor a progress bar"},
    {NULL, NULL},
};

/* --- finding --------------------------------------------------------------------------------- */

const command_t *command_find(const char *name) {
    for (int i = 0; command_list[i] != NULL; i++) {
        if (strcmp(command_list[i]->name, name) == 0) {
            return command_list[i];
        }
    }
    return NULL;
}

const command_t *command_nearest(const char *name) {
    const command_t *best = NULL;
    int best_distance = (int)strlen(name) / 3 + 2;
    for (int i = 0; command_list[i] != NULL; i++) {
        const char *other = command_list[i]->name;
        bool begins = strlen(name) >= 2 && strncmp(other, name, strlen(name)) == 0;
        int distance = begins ? 0 : text_distance(name, other);
        if (distance < best_distance && distance < (int)strlen(other)) {
            best_distance = distance;
            best = command_list[i];
        }
    }
    return best;
}

/* --- help ------------------------------------------------------------------------------------ */

/* An option and its value are not to be torn apart. */
static void join_brackets(char *text) {
    int depth = 0;
    for (char *at = text; *at != '\0'; at++) {
        depth += (*at == '[') - (*at == ']');
        *at = *at == ' ' && depth > 0 ? PAGE_HARD_SPACE : *at;
    }
}

/* "usage: jmt NAME ", then the synopsis; where lines are broken they go on below its start. */
static void print_synopsis(const page_t *page, const command_t *command) {
    char text[SYNOPSIS_BYTES];
    int indent = (int)strlen("usage: jmt  ") + (int)strlen(command->name);
    snprintf(text, sizeof text, "%s", command->synopsis);
    join_brackets(text);
    char *save = NULL;
    bool first = true;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        fprintf(page->stream, "%s jmt %s%s%s ", first ? "usage:" : "      ",
                paint(&page->terminal, PAINT_BOLD), command->name,
                paint(&page->terminal, PAINT_NONE));
        page_wrap(page, indent, page->columns < 60 ? 8 : indent, line);
        first = false;
    }
    if (first) {
        fprintf(page->stream, "usage: jmt %s\n", command->name);
    }
}

static void option_name(const option_t *option, char *text, size_t bytes) {
    snprintf(text, bytes, "%s%s%s", option->name, option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
}

static void print_option(const page_t *page, const option_t *option) {
    char name[96];
    option_name(option, name, sizeof name);
    page_item(page, OPTION_INDENT, name, PAINT_BOLD, option->help);
}

static void print_examples(const page_t *page, const example_t *examples) {
    if (examples == NULL) {
        return;
    }
    fputc('\n', page->stream);
    page_heading(page, "Examples");
    for (const example_t *example = examples; example->line != NULL; example++) {
        fprintf(page->stream, "  %s%s%s\n", paint(&page->terminal, PAINT_BLUE), example->line,
                paint(&page->terminal, PAINT_NONE));
        if (example->what[0] != '\0') {
            fprintf(page->stream, "      ");
            page_wrap(page, 6, 6, example->what);
        }
    }
}

static void print_terms(const page_t *page, const command_t *command) {
    word_t terms[TERMS_MAX];
    int count = command->terms_title != NULL ? command->terms(terms) : 0;
    if (count > 0) {
        fputc('\n', page->stream);
        page_heading(page, command->terms_title);
    }
    for (int i = 0; i < count; i++) {
        page_item(page, OPTION_INDENT, terms[i].word, PAINT_BOLD, terms[i].what);
    }
}

void help_command(FILE *stream, const command_t *command) {
    page_t page = page_of(stream);
    print_synopsis(&page, command);
    fputc('\n', stream);
    page_wrap(&page, 0, 0, command->summary);
    if (command->help[0] != '\0') {
        fputc('\n', stream);
        page_wrap(&page, 0, 0, command->help);
    }
    print_terms(&page, command);
    fputc('\n', stream);
    page_heading(&page, "Options");
    for (const option_t *option = command->options; option->name != NULL; option++) {
        print_option(&page, option);
    }
    print_option(&page, &help_option);
    print_examples(&page, command->examples);
    if (command->exit_codes != NULL) {
        fputc('\n', stream);
        page_heading(&page, "Exit codes");
        fprintf(stream, "  ");
        page_wrap(&page, 2, 2, command->exit_codes);
    }
}

void help_all(FILE *stream) {
    page_t page = page_of(stream);
    fprintf(stream, "%sjmt%s - ", paint(&page.terminal, PAINT_BOLD),
            paint(&page.terminal, PAINT_NONE));
    page_wrap(&page, 6, 6, help_title);
    fprintf(stream, "\nusage: jmt COMMAND ...\n       jmt COMMAND --help\n"
                    "       jmt --version [--json]\n");
    for (int g = 0; g < GROUP_COUNT; g++) {
        fputc('\n', stream);
        page_heading(&page, group_titles[group_order[g]]);
        for (int i = 0; command_list[i] != NULL; i++) {
            if (command_list[i]->group == group_order[g]) {
                page_item(&page, COMMAND_INDENT, command_list[i]->name, PAINT_BLUE,
                          command_list[i]->summary);
            }
        }
    }
    fputc('\n', stream);
    page_heading(&page, "Begin here");
    fprintf(stream, "  jmt train configs/tiny/jmt.yaml --run runs/one\n"
                    "  jmt launch -n 2 train configs/tiny/jmt.yaml --run runs/two\n"
                    "  jmt evaluate runs/one/checkpoints/best-ccc\n\n");
    page_heading(&page, "Exit codes");
    for (const word_t *code = help_exit_codes; code->word != NULL; code++) {
        page_item(&page, 6, code->word, PAINT_NONE, code->what);
    }
}
