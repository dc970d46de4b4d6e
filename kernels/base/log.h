/* log.h - lines for people, on stderr. Only rank 0 speaks unless told otherwise. On a terminal a
 * status line (a progress bar) may stand below them; lines are put above it. */
#ifndef JMT_BASE_LOG_H
#define JMT_BASE_LOG_H

#include <stdbool.h>

#include "kernels/base/status.h"

typedef struct log_terminal {
    bool redraws; /* stderr ends at a terminal on which a line can be drawn anew in place */
    bool colour;  /* and which shows colours */
    bool utf8;    /* and more than ASCII */
    bool shared; /* other processes draw there too, so a line clears whatever stands in its place */
    int columns; /* its width where stderr cannot be asked */
} log_terminal_t;

/* Before anything is logged; without it stderr is taken for a file. Costs nothing where it is one.
 */
void log_terminal(const log_terminal_t *terminal);
void log_quiet(bool quiet); /* rank > 0: info and status are dropped, warnings stay */

void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2); /* the one line of a failure */

/* Whether log_status shows anything, how wide it may be (asked anew each time, for windows change),
 * and whether it may hold more than ASCII. */
bool log_has_status(void);
int log_status_columns(void);
bool log_status_utf8(void);
void log_status(const char *text); /* in place of the last one; NULL: none */
void log_status_keep(void);        /* the last one stays as a line */

#endif
