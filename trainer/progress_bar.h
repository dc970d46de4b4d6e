/* progress_bar.h - where a training stands, as one line of a given width. Pure: what it shows is
 * what it is given (run_log.c, from the events that metrics.jsonl holds). */
#ifndef JMT_PROGRESS_BAR_H
#define JMT_PROGRESS_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/work.h"

enum { BAR_METRIC_BYTES = 64, BAR_BYTES = 768, AMOUNT_BYTES = 24 };

typedef struct bar {
    const char *title; /* stands first: "fold 3 of 34"; "": none */
    const char *doing; /* "validating": instead of the bar; "": training */
    double fraction;   /* of the whole, 0..1 */
    int64_t step, step_total;
    int64_t epoch, epoch_total; /* the current one, from 1; total 0: not limited by epochs */
    double loss;                /* NAN: none yet */
    char metric[BAR_METRIC_BYTES];
    double value, best; /* of the selected metric; NAN: not yet */
    double samples_per_s, data_wait_ms;
    double left_s, spent_s; /* left < 0: unknown */
    bool at_most;           /* may end sooner */
    bool over;              /* left is of no interest, spent is */
    int ranks;
} bar_t;

/* At most columns - 3 wide: there is room for ^C. The least important parts go first. */
void progress_bar(const bar_t *bar, int columns, bool utf8, char text_out[BAR_BYTES]);

/* Three digits and a unit: "0.31" "42" "1.23k" "45.6M" "7.89G" */
void amount_text(double value, char text_out[AMOUNT_BYTES]);
/* The same of a unit: "12 B" "1.25 GB" */
void amount_of_text(double value, const char *unit, char text_out[AMOUNT_BYTES]);

#endif
