#include "launch/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernels/base/bytes.h"

enum { COLUMNS_OTHERWISE = 80 };

static bool is_set(const char *name) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0';
}

bool terminal_in_job(void) { return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK"); }

int terminal_job_rank(void) {
    const char *rank = getenv("PMIX_RANK");
    return terminal_in_job() && rank != NULL ? (int)strtol(rank, NULL, 10) : 0;
}

static bool locale_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (is_set(names[i])) {
            const char *text = getenv(names[i]), *dot = strchr(text, '.');
            return dot != NULL &&
                   (strncasecmp(dot, ".utf-8", 6) == 0 || strncasecmp(dot, ".utf8", 5) == 0);
        }
    }
    return false;
}

static terminal_t of_descriptor(int fd) {
    if (isatty(fd) != 1) {
        return (terminal_t){0};
    }
    struct winsize size = {0};
    const char *type = getenv("TERM");
    bool able = is_set("TERM") && strcmp(type, "dumb") != 0;
    bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return (terminal_t){.columns = known ? size.ws_col : COLUMNS_OTHERWISE,
                        .colour = able && !is_set("NO_COLOR"),
                        .redraws = able,
                        .utf8 = locale_is_utf8()};
}

/* "COLUMNS COLOUR REDRAWS UTF8" of stdout, then of stderr. */
static terminal_t hinted(bool error) {
    const char *text = getenv(TERMINAL_HINT);
    int n[8] = {0};
    if (text == NULL || sscanf(text, "%d %d %d %d %d %d %d %d", &n[0], &n[1], &n[2], &n[3], &n[4],
                               &n[5], &n[6], &n[7]) != 8) {
        return (terminal_t){0};
    }
    const int *mine = error ? n + 4 : n;
    return (terminal_t){mine[0], mine[1] != 0, mine[2] != 0, mine[3] != 0};
}

terminal_t terminal_of(FILE *stream) {
    bool error = stream == stderr;
    if (terminal_in_job() && (!error || is_set(TERMINAL_HINT))) {
        return hinted(error);
    }
    return of_descriptor(fileno(stream));
}

void terminal_hint_set(void) {
    terminal_t out = terminal_of(stdout), error = terminal_of(stderr);
    char *text = text_format("%d %d %d %d %d %d %d %d", out.columns, out.colour, out.redraws,
                             out.utf8, error.columns, error.colour, error.redraws, error.utf8);
    setenv(TERMINAL_HINT, text, 1);
    free(text);
}

const char *paint(const terminal_t *terminal, paint_t paint) {
    static const char *const codes[] = {"\x1b[0m",  "\x1b[1m",  "\x1b[2m", "\x1b[31m",
                                        "\x1b[32m", "\x1b[33m", "\x1b[34m"};
    return terminal->colour ? codes[paint] : "";
}
