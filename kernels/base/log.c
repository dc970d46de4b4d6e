#include "kernels/base/log.h"

#include <stdarg.h>
#include <stdio.h>

static bool quiet_;

void log_quiet(bool quiet) { quiet_ = quiet; }

static void line(const char *head, const char *format, va_list arguments) {
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "jmt: %s%s\n", head, text);
}

void log_info(const char *format, ...) {
    if (quiet_) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    line("", format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    line("warning: ", format, arguments);
    va_end(arguments);
}
