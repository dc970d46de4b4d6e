#include "data-sharding/sample_order.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

struct sample_order {
    sample_order_config_t config;
    int *file;         /* [count], a copy */
    int64_t *turn;     /* [files]: files in their drawn order */
    int64_t *begin;    /* [files + 1]: where a file's next sample goes */
    int64_t *sequence; /* [count] */
};

sample_order_t *sample_order_open(const sample_order_config_t *config) {
    sample_order_t *order = alloc_zero(1, sizeof *order);
    order->config = *config;
    order->config.file = NULL;
    if (!config->block) {
        return order;
    }
    REQUIRE(config->shards > 0 && config->batch % config->shards == 0 && config->window > 0);
    order->file = alloc_zero(max_i64(config->count, 1), sizeof *order->file);
    order->turn = alloc_zero(max_i64(config->files, 1), sizeof *order->turn);
    order->begin = alloc_zero((int64_t)config->files + 1, sizeof *order->begin);
    order->sequence = alloc_zero(max_i64(config->count, 1), sizeof *order->sequence);
    for (int64_t i = 0; i < config->count; i++) {
        REQUIRE(config->file[i] >= 0 && config->file[i] < config->files);
        order->file[i] = config->file[i];
    }
    return order;
}

void sample_order_close(sample_order_t *order) {
    if (order == NULL) {
        return;
    }
    free(order->file);
    free(order->turn);
    free(order->begin);
    free(order->sequence);
    free(order);
}

static rng_key_t key_of(const sample_order_t *order, const char *what, int64_t epoch) {
    return (rng_key_t){order->config.seed, rng_name(what), (uint64_t)epoch};
}

/* Drawn files one after the other, from a drawn sample on, and round. */
static void lay_out(sample_order_t *order, int64_t epoch, int64_t count) {
    int files = order->config.files;
    int64_t *begin = order->begin, *turn = order->turn, at = 0;
    rng_permutation(key_of(order, "shuffle_files", epoch), files, turn);
    memset(begin, 0, ((size_t)files + 1) * sizeof *begin);
    for (int64_t i = 0; i < count; i++) {
        begin[order->file[i]]++;
    }
    int64_t start = (int64_t)rng_below(key_of(order, "shuffle_start", epoch), 0, (uint64_t)count);
    for (int f = 0; f < files; f++) {
        int64_t samples = begin[turn[f]];
        begin[turn[f]] = at;
        at += samples;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t place = begin[order->file[i]]++;
        order->sequence[(place + count - start) % count] = i;
    }
}

/* Fisher-Yates over one window; the draws are numbered by place, so each is used once. */
static void mix(int64_t *sequence, int64_t begin, int64_t end, rng_key_t key) {
    for (int64_t i = end - 1; i > begin; i--) {
        int64_t j = begin + (int64_t)rng_below(key, (uint64_t)i, (uint64_t)(i - begin + 1));
        int64_t kept = sequence[i];
        sequence[i] = sequence[j];
        sequence[j] = kept;
    }
}

static void block_epoch(sample_order_t *order, int64_t epoch, int64_t count, int64_t *samples) {
    const sample_order_config_t *c = &order->config;
    rng_key_t key = key_of(order, "shuffle_window", epoch);
    int64_t width = c->batch / c->shards, whole = count / c->batch, begin = 0;
    lay_out(order, epoch, count);
    for (int64_t v = 0; v < c->shards; v++) {
        int64_t rest = count - whole * c->batch - v * width; /* of the last, incomplete batch */
        int64_t end = begin + whole * width + min_i64(width, max_i64(0, rest));
        for (int64_t at = begin; at < end; at += c->window) {
            mix(order->sequence, at, min_i64(at + c->window, end), key);
        }
        for (int64_t i = begin; i < end; i++) {
            int64_t batch = (i - begin) / width, slot = (i - begin) % width;
            samples[batch * c->batch + v * width + slot] = order->sequence[i];
        }
        begin = end;
    }
}

void sample_order_epoch(sample_order_t *order, int64_t epoch, int64_t count, int64_t *samples) {
    REQUIRE(count <= order->config.count);
    if (!order->config.block) {
        rng_permutation(key_of(order, "shuffle", epoch), count, samples);
    } else if (count > 0) {
        block_epoch(order, epoch, count, samples);
    }
}

int64_t sample_batches(int64_t count, int64_t batch) {
    REQUIRE(batch > 0);
    return div_up(count, batch);
}
