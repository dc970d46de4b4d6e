#include <math.h>

#include "kernels/ref/rows.h"

/* The canonical tree (comm/tree.h), level by level: neighbours are added, one left over waits. */
static double tree_of(double *values, int64_t count) {
    for (int64_t apart = 1; apart < count; apart *= 2) {
        for (int64_t i = 0; i + apart < count; i += 2 * apart) {
            values[i] += values[i + apart];
        }
    }
    return count > 0 ? values[0] : 0.0;
}

void host_judge(const judge_call_t *call) {
    step_now_t *now = call->now;
    now->loss = 0.0;
    for (int i = 0; i < call->loss_count; i++) {
        const loss_call_t *loss = &call->losses[i];
        now->loss += loss->weight * loss_value(loss, call->totals + i * LOSS_SUMS);
    }
    for (int64_t i = 0; i < call->partial_count; i++) {
        call->ordered[i] = call->partials[call->order[i]];
    }
    now->norm = sqrt(tree_of(call->ordered, call->partial_count));
    bool clips = call->clip_norm > 0.0 && now->norm > call->clip_norm;
    now->gradient_scale = clips ? call->clip_norm / now->norm : 1.0;
    now->applies = isfinite(now->loss) && isfinite(now->norm);
    for (int r = 0; r < call->rank_count; r++) {
        now->applies = now->applies && call->words[call->failed_at[r]] == 0.0;
    }
}
