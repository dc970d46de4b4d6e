#include "kernels/base/rng.h"

#include <math.h>

#include "kernels/base/status.h"

static void philox_round(uint32_t counter[4], const uint32_t key[2]) {
    uint64_t product0 = (uint64_t)0xD2511F53u * counter[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * counter[2];
    uint32_t next[4] = {
        (uint32_t)(product1 >> 32) ^ counter[1] ^ key[0],
        (uint32_t)product1,
        (uint32_t)(product0 >> 32) ^ counter[3] ^ key[1],
        (uint32_t)product0,
    };
    for (int i = 0; i < 4; i++) {
        counter[i] = next[i];
    }
}

/* The 256 bits of (seed, stream, turn, index) are more than Philox4x32's 192: stream and turn are
 * mixed into the key and the upper counter words. */
void rng_block(rng_key_t key, uint64_t index, uint32_t out[4]) {
    uint64_t upper = key.stream + key.turn * 0x9E3779B97F4A7C15u;
    uint32_t words[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)};
    out[0] = (uint32_t)index;
    out[1] = (uint32_t)(index >> 32);
    out[2] = (uint32_t)upper;
    out[3] = (uint32_t)(upper >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(out, words);
        words[0] += 0x9E3779B9u;
        words[1] += 0xBB67AE85u;
    }
}

uint32_t rng_u32(rng_key_t key, uint64_t index) {
    uint32_t block[4];
    rng_block(key, index / 4, block);
    return block[index % 4];
}

float rng_uniform(rng_key_t key, uint64_t index) {
    return (float)(rng_u32(key, index) >> 8) * 0x1p-24f;
}

uint64_t rng_below(rng_key_t key, uint64_t index, uint64_t bound) {
    REQUIRE(bound > 0 && bound <= UINT32_MAX);
    uint32_t block[4];
    rng_block(key, index, block);
    return ((uint64_t)block[0] * bound) >> 32;
}

double rng_normal(rng_key_t key, uint64_t index) {
    uint32_t block[4];
    rng_block(key, index, block);
    double radius = ((double)block[0] + 1.0) * 0x1p-32; /* (0, 1]: never log(0) */
    double angle = (double)block[1] * 0x1p-32;
    return sqrt(-2.0 * log(radius)) * cos(6.283185307179586 * angle);
}

uint64_t rng_name(const char *name) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001B3u;
    }
    return hash;
}

void rng_permutation(rng_key_t key, int64_t count, int64_t *order) {
    for (int64_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(key, (uint64_t)i, (uint64_t)i + 1);
        int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
