#include "kernels/base/work.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

static const double QUIET_S = 1.0, DRAW_S = 0.1;

/* --- texts ----------------------------------------------------------------------------------- */

void duration_text(double seconds, char text_out[DURATION_BYTES]) {
    int64_t s = (int64_t)(seconds + 0.5);
    if (!(seconds < 1e9)) {
        snprintf(text_out, DURATION_BYTES, "ages");
    } else if (seconds < 9.95) {
        snprintf(text_out, DURATION_BYTES, "%.1fs", seconds > 0.0 ? seconds : 0.0);
    } else if (s < 60) {
        snprintf(text_out, DURATION_BYTES, "%ds", (int)s);
    } else if (s < 3600) {
        snprintf(text_out, DURATION_BYTES, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    } else if (s < 86400) {
        snprintf(text_out, DURATION_BYTES, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    } else {
        snprintf(text_out, DURATION_BYTES, "%dd%02dh", (int)(s / 86400), (int)(s / 3600 % 24));
    }
}

static size_t append(char *text, size_t bytes, size_t used, const char *more) {
    int wrote = snprintf(text + used, bytes - used, "%s", more);
    return (size_t)min_i64((int64_t)used + wrote, (int64_t)bytes - 1);
}

size_t bar_append(char *text, size_t bytes, size_t used, double fraction, int width, bool utf8) {
    int inner = utf8 ? width : width - 2;
    int done = (int)(fraction * inner);
    used = append(text, bytes, used, utf8 ? "" : "[");
    for (int i = 0; i < inner; i++) {
        used = append(text, bytes, used,
                      utf8 ? (i < done ? "\u2501" : "\u2500")
                           : (i < done    ? "="
                              : i == done ? ">"
                                          : "."));
    }
    return append(text, bytes, used, utf8 ? "" : "]");
}

void work_line(const work_t *work, int64_t done, double spent_s, int columns, bool utf8,
               char text_out[WORK_BYTES]) {
    enum { PART_BYTES = 96, BAR_LEAST = 8, BAR_MOST = 40 };
    char count[PART_BYTES] = "", left[PART_BYTES] = "", duration[DURATION_BYTES];
    double fraction = (double)done / (double)max_i64(work->total, 1);
    if (done > 0) {
        duration_text(spent_s / fraction * (1.0 - fraction), duration);
        snprintf(left, sizeof left, "  %s left", duration);
    }
    if (work->unit != NULL) {
        snprintf(count, sizeof count, "  %lld/%lld %s", (long long)done, (long long)work->total,
                 work->unit);
    }
    int room = columns - 3;
    snprintf(text_out, WORK_BYTES, "%.32s %3d %% ", work->what, (int)(100.0 * fraction));
    size_t used = strlen(text_out);
    room -= (int)used + (int)strlen(count) + (int)strlen(left);
    if (room < BAR_LEAST) {
        room += (int)strlen(count);
        count[0] = '\0';
    }
    if (room >= BAR_LEAST) {
        int width = (int)min_i64(room, BAR_MOST);
        used = bar_append(text_out, WORK_BYTES, used, fraction, width, utf8);
    }
    snprintf(text_out + used, WORK_BYTES - used, "%s%s", count, room >= 0 ? left : "");
}

/* --- work ------------------------------------------------------------------------------------ */

void work_begin(work_t *work, const char *what, const char *unit, int64_t total) {
    *work = (work_t){.what = what, .unit = unit, .total = total, .begin_s = clock_s()};
}

void work_done(work_t *work, int64_t done) {
    if (work->what == NULL || !log_has_status()) {
        return;
    }
    double now = clock_s(), spent_s = now - work->begin_s;
    if (spent_s > QUIET_S && now - work->drawn_s > DRAW_S) {
        char text[WORK_BYTES];
        work_line(work, done, spent_s, log_status_columns(), log_status_utf8(), text);
        log_status(text);
        work->drawn_s = now;
    }
}

void work_end(work_t *work) {
    if (work->drawn_s > 0.0) {
        log_status(NULL);
    }
    *work = (work_t){0};
}
