#include "kernels/base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TEXT_BYTES = 2048, STATUS_BYTES = 1024, COLUMNS_MAX = 512 };

static bool quiet_;
static log_terminal_t terminal_;
static char status_[STATUS_BYTES]; /* as it stands on the terminal; "": none does */

void log_terminal(const log_terminal_t *terminal) { terminal_ = *terminal; }

void log_quiet(bool quiet) { quiet_ = quiet; }

/* What is written is one write, so that lines of several processes do not mix. */
typedef struct out {
    char bytes[TEXT_BYTES + 2 * STATUS_BYTES + 2 * COLUMNS_MAX];
    size_t used;
} out_t;

static void put(out_t *out, const char *text) {
    size_t length = strlen(text), room = sizeof out->bytes - out->used;
    length = length < room ? length : room;
    memcpy(out->bytes + out->used, text, length);
    out->used += length;
}

static void put_spaces(out_t *out, int count) {
    for (int i = 0; i < count; i++) {
        put(out, " ");
    }
}

static int width_of(const char *text) {
    int width = 0;
    for (const char *at = text; *at != '\0'; at++) {
        width += ((unsigned char)*at & 0xc0) != 0x80; /* not the rest of a UTF-8 sequence */
    }
    return width;
}

/* By spaces, not by an escape sequence: it also does where those are not wanted. */
static void put_erase(out_t *out) {
    if (terminal_.redraws && (terminal_.shared || status_[0] != '\0')) {
        put(out, "\r");
        put_spaces(out, log_status_columns() - 1);
        put(out, "\r");
    }
}

static void send(const out_t *out) { fwrite(out->bytes, 1, out->used, stderr); }

static void line(const char *head, const char *colour, const char *format, va_list arguments) {
    char text[TEXT_BYTES];
    bool coloured = terminal_.colour && colour[0] != '\0';
    out_t out = {.used = 0};
    vsnprintf(text, sizeof text, format, arguments);
    put_erase(&out);
    put(&out, coloured ? colour : "");
    put(&out, head);
    put(&out, coloured ? "\x1b[0m" : "");
    put(&out, text);
    put(&out, "\n");
    put(&out, status_);
    send(&out);
}

void log_info(const char *format, ...) {
    if (quiet_) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    line("jmt: ", "", format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    line("jmt: warning: ", "\x1b[33m", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_status(NULL);
    line("jmt: error: ", "\x1b[31m", format, arguments);
    va_end(arguments);
}

bool log_has_status(void) { return terminal_.redraws && !quiet_; }

bool log_status_utf8(void) { return terminal_.utf8; }

/* Behind mpirun stderr is a pipe; the terminal itself may still be within reach. */
int log_status_columns(void) {
    struct winsize size = {0};
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    if (!known) {
        int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
        known = fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    int columns = known ? size.ws_col : terminal_.columns;
    columns = columns > 0 ? columns : 80;
    return columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
}

void log_status(const char *text) {
    if (!log_has_status() || (text == NULL && status_[0] == '\0')) {
        return;
    }
    out_t out = {.used = 0};
    if (text == NULL) {
        put_erase(&out);
        status_[0] = '\0';
    } else {
        snprintf(status_, sizeof status_, "%s", text);
        int pad = log_status_columns() - 1 - width_of(status_);
        put(&out, "\r");
        put(&out, status_);
        put_spaces(&out, pad); /* what stood there before, also a ^C */
        put(&out, "\r");
        put(&out, status_);
    }
    send(&out);
}

void log_status_keep(void) {
    if (log_has_status() && status_[0] != '\0') {
        status_[0] = '\0';
        fputc('\n', stderr);
    }
}
