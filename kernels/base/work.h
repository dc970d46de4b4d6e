/* work.h - how far a piece of work is, on the status line of a terminal (log.h): a share, a bar, a
 * count and the time left. Nothing in a log, and nothing of work that is over within a second. */
#ifndef JMT_BASE_WORK_H
#define JMT_BASE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct work {
    const char *what; /* "scoring"; NULL: shows nothing */
    const char *unit; /* "recordings"; NULL: the share is enough */
    int64_t total;
    double begin_s, drawn_s;
} work_t;

/* The texts stay the caller's. Neither of these allocates. */
void work_begin(work_t *work, const char *what, const char *unit, int64_t total);
void work_done(work_t *work, int64_t done); /* so far */
void work_end(work_t *work);                /* the line goes; also without work_begin, all 0 */

/* What is shown: at most columns - 3 wide. The bar gives way first, then the count and the time. */
enum { WORK_BYTES = 384 };
void work_line(const work_t *work, int64_t done, double spent_s, int columns, bool utf8,
               char text_out[WORK_BYTES]);

enum { DURATION_BYTES = 24 };
/* "8.2s" "42s" "3m05s" "1h02m" "2d03h" */
void duration_text(double seconds, char text_out[DURATION_BYTES]);

/* Appends a bar `width` columns wide to text, which is `used` long and has room for `bytes`:
 * "[=====>....]" or, with utf8, a line of which a part is heavy. Returns how long it is now. */
size_t bar_append(char *text, size_t bytes, size_t used, double fraction, int width, bool utf8);

#endif
