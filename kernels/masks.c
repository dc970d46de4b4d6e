/* Masks on the host: the same code for every table. */
#include "kernels/ref/rows.h"

static bool valid(const mask_t *mask, int shard, int64_t index) {
    return mask->data == NULL || mask->data[shard * mask->shard_stride + index] != 0;
}

/* The value that decides as soon as one input has it: true for any, false for all. */
static void combine(mask_t out, const mask_t *in, int count, bool deciding, int shard_begin,
                    int shard_end) {
    for (int s = shard_begin; s < shard_end; s++) {
        for (int64_t r = 0; r < out.count; r++) {
            bool result = !deciding;
            for (int i = 0; i < count && result != deciding; i++) {
                result = valid(&in[i], s, r);
            }
            out.data[s * out.shard_stride + r] = result;
        }
    }
}

void host_mask_any(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end) {
    (void)device;
    combine(out, in, count, true, shard_begin, shard_end);
}

void host_mask_all(const device_t *device, mask_t out, const mask_t *in, int count, int shard_begin,
                   int shard_end) {
    (void)device;
    combine(out, in, count, false, shard_begin, shard_end);
}

void host_mask_seen(const device_t *device, mask_t out, mask_t keys, int64_t groups, bool causal,
                    int shard_begin, int shard_end) {
    (void)device;
    int64_t rows = out.count / groups, key_len = keys.data == NULL ? 1 : keys.count / groups;
    for (int s = shard_begin; s < shard_end; s++) {
        for (int64_t g = 0; g < groups; g++) {
            bool any = false;
            int64_t looked = 0;
            for (int64_t i = 0; i < rows; i++) {
                int64_t last = causal && i < key_len ? i + 1 : key_len;
                for (; looked < last && !any; looked++) {
                    any = valid(&keys, s, g * key_len + looked);
                }
                out.data[s * out.shard_stride + g * rows + i] = any;
            }
        }
    }
}

void host_mask_tokens(const device_t *device, mask_t out, const mask_t *query, const mask_t *key,
                      int tokens, int64_t groups, bool causal, int shard_begin, int shard_end) {
    (void)device;
    int64_t length = out.count / tokens / groups;
    for (int s = shard_begin; s < shard_end; s++) {
        uint8_t *token_valid = out.data + s * out.shard_stride;
        for (int64_t g = 0; g < groups; g++) {
            for (int k = 0; k < tokens; k++) {
                int64_t key_len = key[k].data == NULL ? 1 : key[k].count / groups, seen = 0;
                bool any = false;
                for (int64_t i = 0; i < length; i++) {
                    int64_t last = causal && i < key_len ? i + 1 : key_len;
                    for (; seen < last && !any; seen++) {
                        any = valid(&key[k], s, g * key_len + seen);
                    }
                    int64_t r = g * length + i;
                    token_valid[r * tokens + k] = any && valid(&query[k], s, r);
                }
            }
        }
    }
}
