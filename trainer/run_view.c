#include "trainer/run_view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"

/* A bar is drawn ten times a second at most; its rates are means over a second, so that they can be
 * read. In a log: the end of an epoch after 5 s of silence, else a line after 5 s to a minute. */
static const double DRAW_S = 0.1, RATE_S = 1.0, LINE_S = 5.0, LINE_LONG_S = 60.0;
static const double ESTIMATE_S = 0.5; /* before, nothing is said about the time left */
static const double DOING_S = 0.3;    /* a validation that took less is not worth a word */

void run_view_open(run_view_t *view, const config_t *config, const run_scope_t *scope,
                   const progress_t *progress, int64_t step_total, int64_t epoch_total, int ranks) {
    double now = clock_s();
    *view = (run_view_t){.begin_s = now, .lined_s = now, .drawn_s = now - DRAW_S, .rated_s = now};
    view->scope = scope != NULL ? *scope : (run_scope_t){"", 0, 1, now};
    view->best_step = progress->best_step;
    view->doing_s = 2.0 * DOING_S; /* how long the first takes is not known */
    view->bar = (bar_t){.title = view->scope.title,
                        .doing = "",
                        .step = progress->step,
                        .step_total = step_total,
                        .epoch = progress->epoch + 1,
                        .epoch_total = epoch_total,
                        .loss = NAN,
                        .value = NAN,
                        .best = progress->best_step >= 0 ? progress->best_value : NAN,
                        .left_s = -1.0,
                        .at_most = config->early_stopping.patience > 0,
                        .ranks = ranks};
    snprintf(view->bar.metric, sizeof view->bar.metric, "%s", select_on_name(config));
    if (view->scope.part == 0 && step_total > 0) {
        view->fraction_first =
            (double)progress->step / (double)step_total / (double)view->scope.part_count;
    }
}

static void add_loss(run_view_t *view, int64_t epoch, double loss) {
    if (view->bar.epoch != epoch + 1) {
        view->bar.epoch = epoch + 1;
        view->epoch_loss = 0.0;
        view->epoch_steps = 0;
    }
    view->epoch_loss += loss;
    view->epoch_steps++;
}

void run_view_recall_step(run_view_t *view, int64_t epoch, double loss) {
    if (view->bar.epoch == epoch + 1) {
        add_loss(view, epoch, loss);
        view->bar.loss = loss;
    }
}

void run_view_recall_valid(run_view_t *view, double selected) { view->bar.value = selected; }

/* --- what is shown --------------------------------------------------------------------------- */

static void estimate(run_view_t *view, double now) {
    bar_t *bar = &view->bar;
    double own = bar->step_total > 0 ? (double)bar->step / (double)bar->step_total : 1.0;
    double spent = now - view->scope.begin_s;
    bar->fraction = (view->scope.part + own) / (double)view->scope.part_count;
    double done = bar->fraction - view->fraction_first;
    bar->spent_s = now - view->begin_s;
    bar->left_s = done > 0.0 && spent > ESTIMATE_S ? spent / done * (1.0 - bar->fraction) : -1.0;
}

static void rate(run_view_t *view, double now) {
    bool first = view->bar.samples_per_s == 0.0;
    if (view->steps > 0.0 && view->steps_s > 0.0 && (first || now - view->rated_s > RATE_S)) {
        view->bar.samples_per_s = (double)view->samples / view->steps_s;
        view->bar.data_wait_ms = view->wait_ms / view->steps;
        view->rated_s = now;
        view->samples = 0;
        view->steps = view->steps_s = view->wait_ms = 0.0;
    }
}

static void draw(run_view_t *view, double now) {
    char text[BAR_BYTES];
    progress_bar(&view->bar, log_status_columns(), log_status_utf8(), text);
    log_status(text);
    view->drawn_s = now;
}

/* "epoch 3/8, step 48/128: " and what is known of it. */
static void say(run_view_t *view, bool whole_epoch, double now) {
    const bar_t *bar = &view->bar;
    char epochs[32] = "", valid[160] = "", speed[AMOUNT_BYTES], left[DURATION_BYTES] = "";
    bool recent = whole_epoch && !isnan(bar->value);
    if (bar->epoch_total > 0) {
        snprintf(epochs, sizeof epochs, "/%lld", (long long)bar->epoch_total);
    }
    if (recent && view->best_step == bar->step) {
        snprintf(valid, sizeof valid, ", valid %s %.4f (best so far)", bar->metric, bar->value);
    } else if (recent) {
        snprintf(valid, sizeof valid, ", valid %s %.4f (best %.4f)", bar->metric, bar->value,
                 bar->best);
    }
    amount_text(bar->samples_per_s, speed);
    if (bar->left_s >= 0.0) {
        duration_text(bar->left_s, left);
    }
    log_info("%s%sepoch %lld%s, step %lld/%lld: mean loss %.4f%s, %s samples/s, data wait %.1f ms%s"
             "%s%s%s",
             bar->title, bar->title[0] != '\0' ? ": " : "", (long long)bar->epoch, epochs,
             (long long)bar->step, (long long)bar->step_total,
             view->epoch_steps > 0 ? view->epoch_loss / (double)view->epoch_steps : bar->loss,
             valid, speed, bar->data_wait_ms, left[0] != '\0' ? ", " : "",
             left[0] != '\0' && bar->at_most ? "up to " : "", left, left[0] != '\0' ? " left" : "");
    view->lined_s = now;
}

/* --- events ---------------------------------------------------------------------------------- */

void run_view_step(run_view_t *view, const progress_t *progress, const step_result_t *result,
                   double step_s) {
    double now = clock_s();
    add_loss(view, progress->epoch, result->loss);
    view->bar.step = progress->step;
    view->bar.loss = result->loss;
    view->bar.doing = "";
    view->samples += result->samples;
    view->steps += 1.0;
    view->steps_s += step_s;
    view->wait_ms += result->data_wait_ms;
    if (log_has_status()) {
        if (now - view->drawn_s > DRAW_S) {
            rate(view, now);
            estimate(view, now);
            draw(view, now);
        }
    } else if (now - view->lined_s > fmin(fmax((now - view->begin_s) / 2.0, LINE_S), LINE_LONG_S)) {
        rate(view, now);
        estimate(view, now);
        say(view, false, now);
    }
}

void run_view_doing(run_view_t *view, const char *what) {
    double now = clock_s();
    view->doing_begin_s = now;
    if (log_has_status() && view->doing_s > DOING_S) {
        view->bar.doing = what;
        estimate(view, now);
        draw(view, now);
    }
}

void run_view_valid(run_view_t *view, const progress_t *progress, double selected, bool best) {
    view->doing_s = clock_s() - view->doing_begin_s;
    view->bar.value = selected;
    if (best) {
        view->bar.best = selected;
        view->best_step = progress->step;
    }
}

void run_view_epoch(run_view_t *view, const progress_t *progress) {
    double now = clock_s();
    view->bar.step = progress->step;
    if (!log_has_status() && now - view->lined_s > LINE_S) {
        rate(view, now);
        estimate(view, now);
        say(view, true, now);
    }
}

void run_view_end(run_view_t *view, const progress_t *progress, const char *reason) {
    bar_t *bar = &view->bar;
    double now = clock_s();
    char spent[DURATION_BYTES], best[128] = "no validation";
    estimate(view, now);
    duration_text(bar->spent_s, spent);
    if (view->best_step >= 0) {
        snprintf(best, sizeof best, "best valid %s %.4f at step %lld", bar->metric, bar->best,
                 (long long)view->best_step);
    }
    if (log_has_status() && bar->title[0] == '\0' && bar->step > 0) {
        bar->doing = "";
        bar->over = true;
        draw(view, now);
        log_status_keep();
    }
    bool early = bar->at_most && bar->step < bar->step_total && strcmp(reason, "finished") == 0;
    log_info("%s%s%s%s at step %lld, epoch %lld, after %s; %s", bar->title,
             bar->title[0] != '\0' ? ": " : "", reason, early ? " early" : "",
             (long long)progress->step, (long long)progress->epoch, spent, best);
}
