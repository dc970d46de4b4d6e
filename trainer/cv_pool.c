#include "trainer/cv_pool.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"
#include "trainer/models.h"

void pool_add(pool_t *pool, double target, double prediction, double post, bool same_recording) {
    pool->x = array_grow(pool->x, pool->count, sizeof *pool->x);
    pool->y = array_grow(pool->y, pool->count, sizeof *pool->y);
    pool->sequence = array_grow(pool->sequence, pool->count, sizeof *pool->sequence);
    pool->post = array_grow(pool->post, pool->count, sizeof *pool->post);
    pool->sequences += !same_recording;
    pool->x[pool->count] = (float)prediction;
    pool->post[pool->count] = (float)post;
    pool->y[pool->count] = (float)target;
    pool->sequence[pool->count++] = pool->sequences;
}

void pool_score(const pool_t *pool, const target_config_t *target, scores_t *scores) {
    int64_t classes = target_classes(target);
    if (classes == 0) {
        score_values(pool->x, pool->y, pool->sequence, pool->count, scores);
        if (pool->count > 0 && !isnan(pool->post[0])) {
            score_post(pool->post, pool->y, pool->sequence, pool->count, scores);
        }
    } else {
        int64_t columns = target_columns(target); /* one: its sign says the class */
        float *votes = alloc_zero(max_i64(pool->count * columns, 1), sizeof *votes);
        for (int64_t i = 0; i < pool->count; i++) {
            int64_t class = (int64_t)pool->x[i];
            if (columns == 1) {
                votes[i] = class > 0 ? 1.0f : -1.0f;
            } else {
                votes[i * columns + class] = 1.0f;
            }
        }
        score_classes(votes, pool->y, pool->count, columns, 0.0, scores);
        free(votes);
    }
    scores->n_invalid = pool->n_invalid;
}

void pool_clear(pool_t *pool) {
    free(pool->x);
    free(pool->y);
    free(pool->post);
    free(pool->sequence);
    *pool = (pool_t){0};
}
