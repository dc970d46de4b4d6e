/* Multi-head attention, one (group, head) after the other: a head's scores live in the workspace
 * and become probabilities there; only those that a backward needs are kept. They are 0 where a key
 * is masked, so the backward needs no mask. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/product_vector.h"
#include "kernels/cpu/vector.h"

/* Columns of a head from which on rows are multiplied by rows as they lie, else by a transposed
 * matrix. Nothing but the head decides, so no row's bits depend on how many others there are. */
enum { DOT_COLS_LEAST = 128 };

typedef struct head {
    bool causal, keeping;   /* keeping: probabilities, for the backward */
    int64_t first, queries; /* those of a group's queries that count */
    int64_t keys, cols;     /* cols: of one head */
    int64_t group, first_col;
    int64_t step;        /* from one row of a group to the next */
    int64_t padded;      /* keys, up to a whole vector: the stride of what follows */
    float *transposed;   /* [cols, padded]: keys or values, if cols < DOT_COLS_LEAST */
    float *score;        /* [queries, padded] */
    int32_t *keep;       /* [padded]: of the group; all bits set or none */
    float *kept;         /* [queries, keys], if keeping */
    int64_t first_valid; /* key; `keys`: none is */
    float scale;
} head_t;

static int64_t transposed_rows(int64_t cols) { return cols < DOT_COLS_LEAST ? cols : 0; }

/* Of one part. */
static int64_t workspace_count(const op_description_t *description) {
    const op_attributes_t *a = &description->attributes;
    int64_t padded = align_up(a->key_len, WIDTH);
    int64_t rows = transposed_rows(description->out.cols / a->heads);
    return padded * (rows + a->query_len + 1);
}

status_t REAL(attention_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REAL(attention_check)(description);
    *needs_out = (op_needs_t){.workspace_count = parts_most() * workspace_count(description)};
    if (description->d_out.rows > 0) {
        needs_out->saved_count = a->groups * a->heads * a->query_len * a->key_len;
    }
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* Without the group, its queries, and the head. */
static head_t head_of(const op_plan_t *plan, const op_call_t *call, int part) {
    const op_attributes_t *a = &plan->description.attributes;
    head_t h = {
        .causal = a->causal,
        .keys = a->key_len,
        .step = a->across ? a->groups : 1,
        .cols = plan->description.out.cols / a->heads,
        .padded = align_up(a->key_len, WIDTH),
        .transposed = (float *)call->workspace + part * workspace_count(&plan->description),
    };
    h.score = h.transposed + transposed_rows(h.cols) * h.padded;
    h.keep = (int32_t *)(void *)(h.score + a->query_len * h.padded);
    h.scale = 1 / sqrtf((float)h.cols);
    return h;
}

static void set_head(head_t *h, const op_plan_t *plan, const op_call_t *call, int shard,
                     int64_t group, int64_t head) {
    h->group = group;
    h->first_col = head * h->cols;
    h->keeping = plan->description.d_out.rows > 0;
    if (h->keeping) {
        const op_attributes_t *a = &plan->description.attributes;
        int64_t row = (group * a->heads + head) * a->query_len + h->first;
        h->kept = (float *)call->saved + shard * call->saved_shard_stride + row * h->keys;
    }
}

/* Row i of a group of `length` is first_row + i * step. */
static int64_t first_row(const head_t *h, int64_t group, int64_t length) {
    return h->step == 1 ? group * length : group;
}

static int64_t stride(matrix_t matrix, const head_t *h) { return matrix.row_stride * h->step; }

static float *keys_of(matrix_t matrix, int shard, const head_t *h) {
    return row_of(matrix, shard, first_row(h, h->group, h->keys)) + h->first_col;
}

static float *queries_of(matrix_t matrix, int shard, const head_t *h, int64_t query_len) {
    int64_t row = first_row(h, h->group, query_len) + h->first * h->step;
    return row_of(matrix, shard, row) + h->first_col;
}

static void clear_rows(matrix_t matrix, int shard, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end && matrix.data != NULL; r++) {
        memset(row_of(matrix, shard, r), 0, (size_t)matrix.cols * sizeof(float));
    }
}

/* Finds the queries that count, and writes 0 for the others; false: none does. */
static bool set_queries(head_t *h, const op_plan_t *plan, const op_call_t *call, int shard,
                        int64_t group, matrix_t out) {
    const op_attributes_t *a = &plan->description.attributes;
    const live_t *live = call->live;
    REQUIRE(live == NULL || !a->across);
    int64_t begin = 0, end = a->query_len, first = group * a->query_len;
    if (live != NULL) {
        int64_t groups = a->groups / live->samples, of_step = groups * a->query_len / live->length;
        step_range_t range = live->ranges[shard * live->samples + group / groups];
        int64_t before = group % groups * a->query_len; /* rows of its sample */
        begin = min_i64(max_i64(range.begin * of_step - before, 0), end);
        end = max_i64(min_i64(range.end * of_step - before, end), begin);
    }
    clear_rows(out, shard, first, first + begin);
    clear_rows(out, shard, first + end, first + a->query_len);
    h->first = begin;
    h->queries = end - begin;
    return h->queries > 0;
}

/* scores[queries, padded] = left right' */
static void row_products(const head_t *h, const float *left, int64_t left_row, const float *right,
                         int64_t right_row) {
    if (h->cols >= DOT_COLS_LEAST) {
        REAL(dot_products)
        (h->queries, h->keys, h->cols, left, left_row, right, right_row, h->score, h->padded);
        return;
    }
    REAL(pack_transposed)(h->keys, h->cols, right, right_row, h->transposed, h->padded);
    REAL(product)
    (h->queries, h->padded, h->cols, left, left_row, 1, h->transposed, h->padded, h->score,
     h->padded);
}

/* --- forward --------------------------------------------------------------------------------- */

static void set_keep(head_t *h, const op_call_t *call, int shard, int64_t group) {
    const uint8_t *valid = call->mask.data;
    if (valid != NULL) {
        valid += shard * call->mask.shard_stride + first_row(h, group, h->keys);
    }
    for (int64_t j = 0; j < h->keys; j++) {
        h->keep[j] = valid == NULL || valid[j * h->step] != 0 ? -1 : 0;
    }
    for (int64_t j = h->keys; j < h->padded; j++) {
        h->keep[j] = 0;
    }
    h->first_valid = 0;
    while (h->first_valid < h->keys && h->keep[h->first_valid] == 0) {
        h->first_valid++;
    }
}

/* Of row i: the keys that it sees are those before this one. */
static int64_t seen_by(const head_t *h, int64_t i) {
    return h->causal ? h->first + i + 1 : h->keys;
}

/* Scales the scores of row i, -inf where a key does not count; the largest, or 0 if none counts. */
static float mask_scores(const head_t *h, int64_t i) {
    float *x = h->score + i * h->padded;
    int64_t seen = seen_by(h, i);
    vec_t top = fill(-INFINITY);
    for (int64_t j = 0; j < h->padded; j += WIDTH) {
        ivec_t keep = (ivec_t)load((const float *)(const void *)(h->keep + j));
        keep &= lane_numbers() < (int32_t)(seen - j);
        vec_t score = where(keep, load(x + j) * fill(h->scale), fill(-INFINITY));
        store(x + j, score);
        top = larger(score, top);
    }
    return seen > h->first_valid ? largest_lane(top) : 0.0F;
}

static float exp_scores(const head_t *h, int64_t i, float largest) {
    float *x = h->score + i * h->padded;
    vec_t total = fill(0.0F);
    for (int64_t j = 0; j < h->padded; j += WIDTH) {
        vec_t power = vector_exp(load(x + j) - fill(largest));
        store(x + j, power);
        total += power;
    }
    return seen_by(h, i) > h->first_valid ? 1.0F / lanes_added(total) : 0.0F;
}

static void scale_row(const head_t *h, int64_t i, float factor) {
    float *x = h->score + i * h->padded;
    for (int64_t j = 0; j < h->padded; j += WIDTH) {
        vec_t probability = load(x + j) * fill(factor);
        if (h->keeping) {
            store_lanes(h->kept + i * h->keys + j, probability, h->keys - j);
        } else {
            store(x + j, probability);
        }
    }
}

/* A few rows at a time, so that one does not wait for the sums of another. Narrow ones have one or
 * two vectors, which stay in registers. */
enum { ROWS = 4, NARROW = 2 };
#define EACH_ROW  _Pragma("GCC unroll 4") for (int r = 0; r < ROWS; r++)
#define EACH_PART _Pragma("GCC unroll 2") for (int v = 0; v < vectors; v++)

INLINE vec_t parts_joined(const vec_t part[NARROW], const int vectors, const bool largest) {
    if (vectors == 1) {
        return part[0];
    }
    if (largest) {
        return larger(part[1], part[0]);
    }
    return part[0] + part[1];
}

/* Of row i of what is kept, vector v: whole where that stays within what is kept, as the rows after
 * it are written later. */
INLINE void keep_part(const head_t *h, int64_t i, int v, vec_t probability) {
    int64_t place = i * h->keys + v * WIDTH;
    if (place + WIDTH <= h->queries * h->keys) {
        store(h->kept + place, probability);
    } else {
        store_part(h->kept + place, probability, h->keys - v * WIDTH);
    }
}

INLINE void softmax_narrow(const head_t *h, int64_t first, const int vectors) {
    vec_t x[ROWS][NARROW], row[ROWS];
    float most[2 * ROWS], total[2 * ROWS], *score = h->score + first * h->padded;
    EACH_ROW {
        EACH_PART {
            ivec_t keep = (ivec_t)load((const float *)(const void *)(h->keep + v * WIDTH));
            if (h->causal) {
                keep &= lane_numbers() + v * WIDTH < (int32_t)seen_by(h, first + r);
            }
            vec_t scaled = load(score + (r * vectors + v) * WIDTH) * fill(h->scale);
            x[r][v] = where(keep, scaled, fill(-INFINITY));
        }
        row[r] = parts_joined(x[r], vectors, true);
    }
    four_joined(row, true, most);
    EACH_ROW {
        bool seen = seen_by(h, first + r) > h->first_valid;
        EACH_PART { x[r][v] = vector_exp(x[r][v] - fill(seen ? most[2 * r] : 0.0F)); }
        row[r] = parts_joined(x[r], vectors, false);
    }
    four_joined(row, false, total);
    EACH_ROW {
        bool seen = seen_by(h, first + r) > h->first_valid;
        vec_t factor = fill(seen ? 1.0F / total[2 * r] : 0.0F);
        EACH_PART {
            vec_t probability = x[r][v] * factor;
            if (h->keeping) {
                keep_part(h, first + r, v, probability);
            } else {
                store(score + (r * vectors + v) * WIDTH, probability);
            }
        }
    }
}

/* Scores to probabilities, where they are kept or, if they are not, in place. */
static void softmax_rows(const head_t *h) {
    float number[ROWS];
    for (int64_t first = 0; first < h->queries; first += ROWS) {
        int count = (int)min_i64(ROWS, h->queries - first);
        if (count == ROWS && h->padded == WIDTH) {
            softmax_narrow(h, first, 1);
            continue;
        }
        if (count == ROWS && h->padded == 2 * WIDTH) {
            softmax_narrow(h, first, 2);
            continue;
        }
        for (int r = 0; r < count; r++) {
            number[r] = mask_scores(h, first + r);
        }
        for (int r = 0; r < count; r++) {
            number[r] = exp_scores(h, first + r, number[r]);
        }
        for (int r = 0; r < count; r++) {
            scale_row(h, first + r, number[r]);
        }
    }
}

static void head_forward(const head_t *h, const op_call_t *call, int shard, int64_t query_len) {
    matrix_t q = call->in[0], k = call->in[1], v = call->in[2], out = call->out;
    row_products(h, queries_of(q, shard, h, query_len), stride(q, h), keys_of(k, shard, h),
                 stride(k, h));
    softmax_rows(h);
    REAL(product)
    (h->queries, h->cols, h->keys, h->keeping ? h->kept : h->score,
     h->keeping ? h->keys : h->padded, 1, keys_of(v, shard, h), stride(v, h),
     queries_of(out, shard, h, query_len), stride(out, h));
}

static int64_t group_count(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.attributes.groups;
}

/* Multiplications of one product. */
static int64_t work_of(const op_plan_t *plan, const op_call_t *call) {
    const op_attributes_t *a = &plan->description.attributes;
    return group_count(plan, call) * a->query_len * a->key_len * plan->description.out.cols;
}

static void groups_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                           int part) {
    const op_attributes_t *a = &plan->description.attributes;
    head_t h = head_of(plan, call, part);
    for (int64_t i = begin; i < end; i++) {
        int shard = call->shard_begin + (int)(i / a->groups);
        if (i == begin || call->mask.data != NULL) {
            set_keep(&h, call, shard, i % a->groups);
        }
        bool any = set_queries(&h, plan, call, shard, i % a->groups, call->out);
        for (int64_t head = 0; any && head < a->heads; head++) {
            set_head(&h, plan, call, shard, i % a->groups, head);
            head_forward(&h, call, shard, a->query_len);
        }
    }
}

void REAL(attention_forward)(const op_plan_t *plan, const op_call_t *call) {
    parts_run(groups_forward, plan, call, group_count(plan, call), 2 * work_of(plan, call));
}

/* --- backward -------------------------------------------------------------------------------- */

/* Of rows of one or two vectors, as of others in score_gradient(). */
INLINE void gradient_narrow(const head_t *h, int64_t first, const int vectors) {
    vec_t p[ROWS][NARROW], row[ROWS];
    float total[2 * ROWS], *score = h->score + first * h->padded;
    EACH_ROW {
        EACH_PART {
            p[r][v] = load_lanes(h->kept + (first + r) * h->keys + v * WIDTH, h->keys - v * WIDTH);
            vec_t along = load(score + (r * vectors + v) * WIDTH);
            row[r] = v == 0 ? fused(along, p[r][v], fill(0.0F)) : fused(along, p[r][v], row[r]);
        }
    }
    four_joined(row, false, total);
    EACH_ROW {
        EACH_PART {
            float *place = score + (r * vectors + v) * WIDTH;
            store(place, p[r][v] * (load(place) - fill(total[2 * r])) * fill(h->scale));
        }
    }
}

/* Of the scaled scores: P * (dP - sum(dP * P)) / sqrt(cols), dP = dO V'. */
static void score_gradient(const head_t *h, const op_call_t *call, int shard, int64_t query_len) {
    matrix_t v = call->in[2], d_out = call->d_out;
    row_products(h, queries_of(d_out, shard, h, query_len), stride(d_out, h), keys_of(v, shard, h),
                 stride(v, h));
    int64_t narrow = h->padded <= NARROW * WIDTH ? h->queries - h->queries % ROWS : 0;
    for (int64_t first = 0; first < narrow; first += ROWS) {
        if (h->padded == WIDTH) {
            gradient_narrow(h, first, 1);
        } else {
            gradient_narrow(h, first, 2);
        }
    }
    for (int64_t i = narrow; i < h->queries; i++) {
        float *d_row = h->score + i * h->padded;
        const float *row = h->kept + i * h->keys;
        vec_t total = fill(0.0F);
        for (int64_t j = 0; j < h->keys; j += WIDTH) {
            total = fused(load(d_row + j), load_lanes(row + j, h->keys - j), total);
        }
        vec_t mean = fill(lanes_added(total)), scale = fill(h->scale);
        for (int64_t j = 0; j < h->keys; j += WIDTH) {
            vec_t p = load_lanes(row + j, h->keys - j);
            store(d_row + j, p * (load(d_row + j) - mean) * scale);
        }
    }
}

static void head_backward(const head_t *h, const op_call_t *call, int shard, int64_t query_len) {
    matrix_t q = call->in[0], k = call->in[1], d_out = call->d_out;
    matrix_t dq = call->d_in[0], dk = call->d_in[1], dv = call->d_in[2];
    if (dv.data != NULL) {
        REAL(product)
        (h->keys, h->cols, h->queries, h->kept, 1, h->keys, queries_of(d_out, shard, h, query_len),
         stride(d_out, h), keys_of(dv, shard, h), stride(dv, h));
    }
    if (dq.data == NULL && dk.data == NULL) {
        return;
    }
    score_gradient(h, call, shard, query_len);
    if (dq.data != NULL) {
        REAL(product)
        (h->queries, h->cols, h->keys, h->score, h->padded, 1, keys_of(k, shard, h), stride(k, h),
         queries_of(dq, shard, h, query_len), stride(dq, h));
    }
    if (dk.data != NULL) {
        REAL(product)
        (h->keys, h->cols, h->queries, h->score, 1, h->padded, queries_of(q, shard, h, query_len),
         stride(q, h), keys_of(dk, shard, h), stride(dk, h));
    }
}

static void groups_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                            int64_t end, int part) {
    const op_attributes_t *a = &plan->description.attributes;
    head_t h = head_of(plan, call, part);
    for (int64_t i = begin; i < end; i++) {
        int shard = call->shard_begin + (int)(i / a->groups);
        int64_t group = i % a->groups, keys = group * a->key_len;
        bool any = set_queries(&h, plan, call, shard, group, call->d_in[0]);
        for (int k = 1; k < 3 && !any; k++) {
            clear_rows(call->d_in[k], shard, keys, keys + a->key_len);
        }
        for (int64_t head = 0; any && head < a->heads; head++) {
            set_head(&h, plan, call, shard, group, head);
            head_backward(&h, call, shard, a->query_len);
        }
    }
}

void REAL(attention_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    parts_run(groups_backward, plan, call, group_count(plan, call), 4 * work_of(plan, call));
}
