#include "trainer/progress_bar.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/bytes.h"

static void scaled_text(double value, const char *space, const char *name,
                        char text_out[AMOUNT_BYTES]) {
    static const char units[] = {'\0', 'k', 'M', 'G', 'T', 'P'};
    int unit = 0;
    while (fabs(value) >= 999.5 && unit < ARRAY_LEN(units) - 1) {
        value /= 1000.0;
        unit++;
    }
    double size = fabs(value);
    bool whole = unit == 0 && value == floor(value);
    int decimals = whole || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
    snprintf(text_out, AMOUNT_BYTES, "%.*f%s%.1s%s", decimals, value, space, &units[unit], name);
}

void amount_text(double value, char text_out[AMOUNT_BYTES]) {
    scaled_text(value, "", "", text_out);
}

void amount_of_text(double value, const char *unit, char text_out[AMOUNT_BYTES]) {
    scaled_text(value, " ", unit, text_out);
}

/* --- the parts, and how they shrink ---------------------------------------------------------- */

enum part {
    PART_STEP,
    PART_EPOCH,
    PART_LOSS,
    PART_METRIC,
    PART_RATE,
    PART_WAIT,
    PART_RANKS,
    PART_TIME,
    PARTS
};
enum { LONG, SHORT, GONE, PART_BYTES = 112, BAR_LEAST = 10, BAR_MOST = 40 };

typedef struct parts {
    char text[PARTS][2][PART_BYTES]; /* long and short; empty: nothing to say */
    int level[PARTS];
} parts_t;

/* The order in which they give way. */
static const struct {
    enum part part;
    int level;
} yielding[] = {
    {PART_EPOCH, GONE}, {PART_WAIT, SHORT},  {PART_RATE, SHORT}, {PART_METRIC, SHORT},
    {PART_RANKS, GONE}, {PART_STEP, SHORT},  {PART_WAIT, GONE},  {PART_RATE, GONE},
    {PART_STEP, GONE},  {PART_METRIC, GONE}, {PART_TIME, SHORT}, {PART_LOSS, GONE},
    {PART_TIME, GONE},
};

static void both(parts_t *parts, enum part part, const char *text) {
    snprintf(parts->text[part][LONG], PART_BYTES, "%s", text);
    snprintf(parts->text[part][SHORT], PART_BYTES, "%s", text);
}

static void say_position(parts_t *parts, const bar_t *bar) {
    long long step = bar->step, total = bar->step_total;
    snprintf(parts->text[PART_STEP][SHORT], PART_BYTES, "%lld/%lld", step, total);
    snprintf(parts->text[PART_STEP][LONG], PART_BYTES, "step %lld/%lld", step, total);
    if (bar->epoch_total > 0) {
        char text[PART_BYTES];
        snprintf(text, sizeof text, "epoch %lld/%lld", (long long)bar->epoch,
                 (long long)bar->epoch_total);
        both(parts, PART_EPOCH, text);
    }
    if (bar->ranks > 1) {
        char text[PART_BYTES];
        snprintf(text, sizeof text, "%d ranks", bar->ranks);
        both(parts, PART_RANKS, text);
    }
}

static void say_quality(parts_t *parts, const bar_t *bar) {
    if (!isnan(bar->loss)) {
        char text[PART_BYTES];
        snprintf(text, sizeof text, "loss %.4f", bar->loss);
        both(parts, PART_LOSS, text);
    }
    if (!isnan(bar->value)) {
        char best[32] = "";
        if (!isnan(bar->best) && bar->best != bar->value) {
            snprintf(best, sizeof best, " (best %.4f)", bar->best);
        }
        snprintf(parts->text[PART_METRIC][LONG], PART_BYTES, "valid %s %.4f%s", bar->metric,
                 bar->value, best);
        snprintf(parts->text[PART_METRIC][SHORT], PART_BYTES, "%s %.4f", bar->metric, bar->value);
    }
}

static void say_speed(parts_t *parts, const bar_t *bar) {
    char amount[AMOUNT_BYTES], left[DURATION_BYTES], spent[DURATION_BYTES];
    if (bar->samples_per_s > 0.0) {
        amount_text(bar->samples_per_s, amount);
        snprintf(parts->text[PART_RATE][LONG], PART_BYTES, "%s samples/s", amount);
        snprintf(parts->text[PART_RATE][SHORT], PART_BYTES, "%s/s", amount);
        snprintf(parts->text[PART_WAIT][LONG], PART_BYTES, "data wait %.1f ms", bar->data_wait_ms);
        snprintf(parts->text[PART_WAIT][SHORT], PART_BYTES, "wait %.1f ms", bar->data_wait_ms);
    }
    if (bar->over) {
        duration_text(bar->spent_s, spent);
        snprintf(parts->text[PART_TIME][LONG], PART_BYTES, "in %s", spent);
        snprintf(parts->text[PART_TIME][SHORT], PART_BYTES, "in %s", spent);
    } else if (bar->left_s >= 0.0) {
        duration_text(bar->left_s, left);
        snprintf(parts->text[PART_TIME][LONG], PART_BYTES, "%s%s left",
                 bar->at_most ? "up to " : "", left);
        snprintf(parts->text[PART_TIME][SHORT], PART_BYTES, "%s%s", bar->at_most ? "<" : "", left);
    }
}

static int width_of_parts(const parts_t *parts) {
    int width = 0;
    for (int p = 0; p < PARTS; p++) {
        if (parts->level[p] != GONE && parts->text[p][LONG][0] != '\0') {
            width += 2 + (int)strlen(parts->text[p][parts->level[p]]);
        }
    }
    return width;
}

/* --- the line -------------------------------------------------------------------------------- */

static size_t append(char *text, size_t used, const char *more) {
    int wrote = snprintf(text + used, BAR_BYTES - used, "%s", more);
    return (size_t)min_i64((int64_t)used + wrote, BAR_BYTES - 1);
}

/* The middle of the line: a bar, or what is done instead of training. */
static size_t append_middle(char *text, size_t used, const bar_t *bar, double fraction, int room,
                            bool utf8) {
    int width = (int)min_i64(room, BAR_MOST);
    if (bar->doing[0] == '\0') {
        return width >= 4 ? bar_append(text, BAR_BYTES, used, fraction, width, utf8) : used;
    }
    char shown[BAR_MOST + 1];
    snprintf(shown, sizeof shown, "%-*.*s", (int)max_i64(width, 0), (int)max_i64(width, 0),
             bar->doing);
    return append(text, used, shown);
}

void progress_bar(const bar_t *bar, int columns, bool utf8, char text_out[BAR_BYTES]) {
    parts_t parts = {0};
    char head[PART_BYTES];
    double fraction = isfinite(bar->fraction) ? fmin(fmax(bar->fraction, 0.0), 1.0) : 0.0;
    say_position(&parts, bar);
    say_quality(&parts, bar);
    say_speed(&parts, bar);
    int room = columns - 3;
    bool titled = bar->title[0] != '\0' && room >= 50;
    snprintf(head, sizeof head, "%.80s%s%3d %% ", titled ? bar->title : "", titled ? " " : "",
             (int)(fraction * 100.0)); /* rounded down: 100 % is all of it */
    int fixed = (int)strlen(head) + BAR_LEAST;
    for (int i = 0; i < ARRAY_LEN(yielding) && fixed + width_of_parts(&parts) > room; i++) {
        parts.level[yielding[i].part] = yielding[i].level;
    }
    size_t used = append(text_out, 0, head);
    used = append_middle(text_out, used, bar, fraction,
                         room - (int)strlen(head) - width_of_parts(&parts), utf8);
    for (int p = 0; p < PARTS; p++) {
        if (parts.level[p] != GONE && parts.text[p][LONG][0] != '\0') {
            used = append(text_out, used, "  ");
            used = append(text_out, used, parts.text[p][parts.level[p]]);
        }
    }
}
