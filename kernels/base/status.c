#include "kernels/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/log.h"

enum { TEXT_BYTES = 2048 };

static _Thread_local char text_[TEXT_BYTES];

/* vsnprintf into a second buffer first: the arguments may point into text_. */
static void keep(const char *prefix_separator, const char *suffix, const char *format,
                 va_list arguments) {
    char head[TEXT_BYTES];
    vsnprintf(head, sizeof head, format, arguments);
    char whole[2 * TEXT_BYTES];
    if (prefix_separator != NULL) {
        snprintf(whole, sizeof whole, "%s%s%s", head, prefix_separator, text_);
    } else {
        snprintf(whole, sizeof whole, "%s%s", head, suffix);
    }
    snprintf(text_, sizeof text_, "%.*s", TEXT_BYTES - 1, whole);
    for (char *at = text_; *at != '\0'; at++) { /* texts quote files, which may be hostile */
        if ((unsigned char)*at < ' ' || *at == '\x7f') {
            *at = ' ';
        }
    }
}

status_t status_fail(status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep(NULL, "", format, arguments);
    va_end(arguments);
    return status;
}

/* What can be done about it, where the caller does not say more. */
static const char *remedy_of(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "check the path";
    case EACCES:
    case EPERM:
        return "check its permissions";
    case ENOSPC:
    case EDQUOT:
        return "free space there, or use another place";
    case EROFS:
        return "use another place";
    case EMFILE:
    case ENFILE:
        return "raise ulimit -n";
    case EIO:
        return "check the disk";
    default:
        return "repair that and try again";
    }
}

status_t status_fail_errno(status_t status, const char *format, ...) {
    char reason[256];
    bool said = strchr(format, ';') != NULL;
    snprintf(reason, sizeof reason, ": %s%s%s", strerror(errno), said ? "" : "; ",
             said ? "" : remedy_of(errno));
    va_list arguments;
    va_start(arguments, format);
    keep(NULL, reason, format, arguments);
    va_end(arguments);
    return status;
}

status_t status_prefix(status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep(": ", "", format, arguments);
    va_end(arguments);
    return status;
}

const char *status_text(void) { return text_; }

_Noreturn void panic_memory(double bytes) {
    log_error("out of memory: %.0f bytes are not to be had; use a smaller model, window or batch, "
              "or more machines",
              bytes);
    _exit((int)STATUS_FAILED);
}

_Noreturn void panic(const char *file, int line, const char *condition) {
    log_error("%s:%d: internal check failed: %s; please report this", file, line, condition);
    abort();
}
