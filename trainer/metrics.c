#include "trainer/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

#define METRIC_ROW_(name, higher) {#name, higher},
static const struct {
    const char *name;
    bool higher_is_better;
} metrics[] = {METRIC_LIST(METRIC_ROW_)};

const char *metric_name(metric_t metric) { return metrics[metric].name; }
bool metric_higher_is_better(metric_t metric) { return metrics[metric].higher_is_better; }

bool metric_find(const char *name, metric_t *metric_out) {
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (strcmp(metrics[i].name, name) == 0) {
            *metric_out = (metric_t)i;
            return true;
        }
    }
    return false;
}

static void clear(scores_t *scores) {
    memset(scores, 0, sizeof *scores);
    for (int i = 0; i < METRIC_COUNT; i++) {
        scores->value[i] = (double)NAN;
    }
}

/* --- values ---------------------------------------------------------------------------------- */

typedef struct moments {
    double n, mean_x, mean_y, xx, yy, xy; /* centred sums */
} moments_t;

/* Two passes: the second is centred, so nothing cancels. */
static moments_t moments_of(const float *x, const float *y, int64_t begin, int64_t end) {
    moments_t m = {0};
    for (int64_t i = begin; i < end; i++) {
        if (!isnan(y[i])) {
            m.n += 1.0;
            m.mean_x += (double)x[i];
            m.mean_y += (double)y[i];
        }
    }
    if (m.n > 0.0) {
        m.mean_x /= m.n;
        m.mean_y /= m.n;
    }
    for (int64_t i = begin; i < end; i++) {
        if (!isnan(y[i])) {
            double dx = (double)x[i] - m.mean_x, dy = (double)y[i] - m.mean_y;
            m.xx += dx * dx;
            m.yy += dy * dy;
            m.xy += dx * dy;
        }
    }
    return m;
}

static double ccc_of(moments_t m) {
    double between = m.mean_x - m.mean_y;
    return 2.0 * m.xy / m.n / ((m.xx + m.yy) / m.n + between * between + 1e-8);
}

static double mean_sequence_ccc(const float *x, const float *y, const int64_t *sequence,
                                int64_t count) {
    double sum = 0.0, sequences = 0.0;
    for (int64_t begin = 0, end = 0; begin < count; begin = end) {
        while (end < count && sequence[end] == sequence[begin]) {
            end++;
        }
        moments_t m = moments_of(x, y, begin, end);
        if (m.n >= 2.0) {
            sum += ccc_of(m);
            sequences += 1.0;
        }
    }
    return sequences > 0.0 ? sum / sequences : (double)NAN;
}

void score_values(const float *x, const float *y, const int64_t *sequence, int64_t count,
                  scores_t *scores) {
    clear(scores);
    double absolute = 0.0, squared = 0.0;
    for (int64_t i = 0; i < count; i++) {
        if (!isnan(y[i])) {
            double d = (double)x[i] - (double)y[i];
            absolute += fabs(d);
            squared += d * d;
            scores->n++;
        }
    }
    scores->n_invalid = count - scores->n;
    if (scores->n == 0) {
        return;
    }
    moments_t m = moments_of(x, y, 0, count);
    scores->value[METRIC_mae] = absolute / m.n;
    scores->value[METRIC_rmse] = sqrt(squared / m.n);
    scores->value[METRIC_r] = m.xx > 0.0 && m.yy > 0.0 ? m.xy / sqrt(m.xx * m.yy) : 0.0;
    scores->value[METRIC_ccc] = ccc_of(m);
    scores->value[METRIC_ccc_per_sequence] = mean_sequence_ccc(x, y, sequence, count);
}

void score_post(const float *x, const float *y, const int64_t *sequence, int64_t count,
                scores_t *scores) {
    scores_t *own = alloc_zero(1, sizeof *own);
    score_values(x, y, sequence, count, own);
    scores->value[METRIC_rmse_post] = own->value[METRIC_rmse];
    scores->value[METRIC_ccc_post] = own->value[METRIC_ccc];
    scores->value[METRIC_ccc_per_sequence_post] = own->value[METRIC_ccc_per_sequence];
    free(own);
}

void score_frames(const float *x, const float *y, const int64_t *sequence, int64_t count,
                  scores_t *scores) {
    scores_t *own = alloc_zero(1, sizeof *own);
    score_values(x, y, sequence, count, own);
    scores->value[METRIC_rmse_frames] = own->value[METRIC_rmse];
    scores->value[METRIC_ccc_frames] = own->value[METRIC_ccc];
    scores->value[METRIC_ccc_per_sequence_frames] = own->value[METRIC_ccc_per_sequence];
    free(own);
}

/* --- classes --------------------------------------------------------------------------------- */

/* Of class 1 alone. */
static double f1_positive(const scores_t *scores) {
    double hit = 2.0 * (double)scores->confusion[1][1];
    double wrong = (double)(scores->confusion[0][1] + scores->confusion[1][0]);
    return hit > 0.0 ? hit / (hit + wrong) : 0.0;
}

static void derive_class_metrics(scores_t *scores) {
    double correct = 0.0, recalls = 0.0, occurring = 0.0, f1_sum = 0.0, f1_classes = 0.0,
           f1_weighted = 0.0;
    for (int64_t c = 0; c < scores->classes; c++) {
        double hit = (double)scores->confusion[c][c], actual = 0.0, predicted = 0.0;
        for (int64_t k = 0; k < scores->classes; k++) {
            actual += (double)scores->confusion[c][k];
            predicted += (double)scores->confusion[k][c];
        }
        double f1 = actual + predicted > 0.0 ? 2.0 * hit / (actual + predicted) : 0.0;
        correct += hit;
        recalls += actual > 0.0 ? hit / actual : 0.0;
        occurring += actual > 0.0;
        f1_sum += f1;
        f1_classes += actual + predicted > 0.0;
        f1_weighted += f1 * actual;
    }
    double n = (double)scores->n;
    scores->value[METRIC_accuracy] = correct / n;
    scores->value[METRIC_uar] = recalls / occurring;
    scores->value[METRIC_f1_macro] = f1_sum / f1_classes;
    scores->value[METRIC_f1_weighted] = f1_weighted / n;
}

/* Log-odds of class 1 against 0. */
static double log_odds(const float *x, int64_t columns) {
    return columns == 1 ? (double)x[0] : (double)x[1] - (double)x[0];
}

int64_t predicted_class(const float *x, int64_t columns, double cut) {
    if (columns <= 2) {
        return log_odds(x, columns) > cut;
    }
    int64_t best = 0;
    for (int64_t c = 1; c < columns; c++) {
        best = x[c] > x[best] ? c : best;
    }
    return best;
}

typedef struct odds {
    double z;
    bool yes;
} odds_t;

static int by_odds(const void *a, const void *b) {
    double x = ((const odds_t *)a)->z, y = ((const odds_t *)b)->z;
    return (x > y) - (x < y);
}

/* Half-way between a and b > a, and below b as long as there is a number between. */
static double between(double a, double b) {
    double half = a + (b - a) / 2.0;
    return half < b ? half : a;
}

/* yes of the count sorted ones are of class 1. A cut leaves those up to it to class 0. */
static double best_cut(const odds_t *sorted, int64_t count, double yes) {
    double no = (double)count - yes, best = 0.0, best_uar = 0.0;
    for (int pass = 0; pass < 2; pass++) { /* what 0 is worth; then the others */
        double no_below = 0.0, yes_below = 0.0;
        best_uar = pass == 0 ? 0.5 : best_uar;
        for (int64_t i = 0; i + pass < count; i++) {
            no_below += sorted[i].yes ? 0.0 : 1.0;
            yes_below += sorted[i].yes ? 1.0 : 0.0;
            double uar = (no_below / no + (yes - yes_below) / yes) / 2.0;
            if (pass == 0) {
                best_uar = sorted[i].z <= 0.0 ? uar : best_uar;
                continue;
            }
            double cut = between(sorted[i].z, sorted[i + 1].z);
            bool real = sorted[i].z < sorted[i + 1].z;
            if (real && (uar > best_uar || (uar == best_uar && fabs(cut) < fabs(best)))) {
                best_uar = uar;
                best = cut;
            }
        }
    }
    return best;
}

double fitted_cut(const float *x, const float *y, int64_t count, int64_t columns) {
    REQUIRE(columns == 1 || columns == 2);
    odds_t *sorted = alloc_zero(max_i64(count, 1), sizeof *sorted);
    int64_t valid = 0, yes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isnan(y[i])) {
            sorted[valid++] = (odds_t){log_odds(x + i * columns, columns), y[i] != 0.0f};
            yes += y[i] != 0.0f;
        }
    }
    qsort(sorted, (size_t)valid, sizeof *sorted, by_odds);
    double cut = yes > 0 && yes < valid ? best_cut(sorted, valid, (double)yes) : 0.0;
    free(sorted);
    return cut;
}

void score_classes(const float *x, const float *y, int64_t count, int64_t columns, double cut,
                   scores_t *scores) {
    int64_t classes = columns == 1 ? 2 : columns;
    REQUIRE(classes >= 2 && classes <= CLASSES_MAX);
    clear(scores);
    scores->classes = classes;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(y[i])) {
            continue;
        }
        int64_t actual = (int64_t)y[i];
        REQUIRE(actual >= 0 && actual < classes);
        scores->confusion[actual][predicted_class(x + i * columns, columns, cut)]++;
        scores->n++;
    }
    scores->n_invalid = count - scores->n;
    if (scores->n > 0) {
        derive_class_metrics(scores);
        scores->value[METRIC_f1_positive] = columns == 1 ? f1_positive(scores) : NAN;
    }
}

double scores_mean(const scores_t *scores, int count, metric_t metric) {
    double sum = 0.0, have = 0.0;
    for (int i = 0; i < count; i++) {
        if (!isnan(scores[i].value[metric])) {
            sum += scores[i].value[metric];
            have += 1.0;
        }
    }
    return have > 0.0 ? sum / have : (double)NAN;
}
