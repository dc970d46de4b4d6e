#include "trainer/evaluation_post.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

post_process_t target_post_process(const config_t *config, int target, int64_t width) {
    bool nearest = strcmp(config->evaluation.smooth_edges, "nearest") == 0;
    return (post_process_t){config->targets[target].clip, width,
                            nearest ? EDGES_NEAREST : EDGES_CONSTANT};
}

bool config_is_post_processed(const config_t *config) {
    bool any = false;
    for (int t = 0; t < config->target_count; t++) {
        any = any || target_is_post_processed(&config->targets[t]);
    }
    return any;
}

void gather_by_name(const evaluation_t *e, int64_t columns, size_t bytes, const void *all,
                    void *out) {
    size_t sample = (size_t)(e->length * columns) * bytes;
    for (int64_t s = 0; s < e->steps / e->length; s++) {
        memcpy((char *)out + (size_t)s * sample, (const char *)all + (size_t)e->by_name[s] * sample,
               sample);
    }
}

/* What a target's post-processed predictions are scored with, in the order of names. */
typedef struct post_scoring {
    float *x, *y;
    int64_t *sequence;
} post_scoring_t;

static post_scoring_t scoring_open(const evaluation_t *e, int t) {
    int64_t room = max_i64(e->steps, 1);
    post_scoring_t scoring = {alloc_zero(room, sizeof(float)), alloc_zero(room, sizeof(float)),
                              alloc_zero(room, sizeof(int64_t))};
    gather_by_name(e, 1, sizeof(float), e->label[t], scoring.y);
    gather_by_name(e, 1, sizeof *e->sequence, e->sequence, scoring.sequence);
    return scoring;
}

static void scoring_close(post_scoring_t *scoring) {
    free(scoring->x);
    free(scoring->y);
    free(scoring->sequence);
}

static void score_width(evaluation_t *e, const config_t *config, int t, int64_t width,
                        post_scoring_t *scoring) {
    post_process_t how = target_post_process(config, t, width);
    post_process(&how, e->prediction[t], e->stretch, e->steps, e->post[t]);
    gather_by_name(e, 1, sizeof(float), e->post[t], scoring->x);
    score_post(scoring->x, scoring->y, scoring->sequence, e->steps, &e->scores[t]);
    e->widths[t] = width;
}

void evaluation_post_process(evaluation_t *e, const config_t *config, const target_fit_t *fit) {
    for (int t = 0; t < e->target_count; t++) {
        if (target_is_post_processed(&config->targets[t])) {
            e->post[t] = alloc_zero(max_i64(e->steps, 1), sizeof(float));
            post_scoring_t scoring = scoring_open(e, t);
            score_width(e, config, t, (int64_t)fit->widths[t], &scoring);
            scoring_close(&scoring);
        }
    }
}

static int64_t best_width(evaluation_t *e, const config_t *config, int t, post_scoring_t *scoring) {
    int64_t best = 0;
    double best_ccc = (double)NAN;
    for (int i = 0; i < SMOOTH_WIDTHS; i++) {
        score_width(e, config, t, smooth_widths[i], scoring);
        double ccc = e->scores[t].value[METRIC_ccc_post];
        if (i == 0 || ccc > best_ccc) {
            best = smooth_widths[i];
            best_ccc = ccc;
        }
    }
    return best;
}

void evaluation_fit_widths(evaluation_t *e, const config_t *config, target_fit_t *fit) {
    for (int t = 0; t < e->target_count; t++) {
        if (strcmp(config->targets[t].smooth, "fit") == 0) {
            post_scoring_t scoring = scoring_open(e, t);
            int64_t width = best_width(e, config, t, &scoring);
            fit->widths[t] = (double)width;
            score_width(e, config, t, width, &scoring);
            scoring_close(&scoring);
        }
    }
}
