/* rng.h - counter-based random numbers: the same everywhere, in any order, on any rank.
 *
 * Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011). The key is the seed; the counter says what the number is for, never when it is drawn.
 */
#ifndef JMT_BASE_RNG_H
#define JMT_BASE_RNG_H

#include <stdint.h>

typedef struct rng_key {
    uint64_t seed;
    uint64_t stream; /* hash of the purpose: a node's name, "shuffle", ... */
    uint64_t turn;   /* step, epoch, ... */
} rng_key_t;

/* Four words of block `index` of the sequence `key`. */
void rng_block(rng_key_t key, uint64_t index, uint32_t out[4]);

/* Element `index` of the sequence, as an integer and in [0, 1) with 24 bits (exact in float). */
uint32_t rng_u32(rng_key_t key, uint64_t index);
float rng_uniform(rng_key_t key, uint64_t index);

/* Integer in [0, bound), 0 < bound < 2^32; one value is likelier than another by at most
 * bound / 2^32. */
uint64_t rng_below(rng_key_t key, uint64_t index, uint64_t bound);

/* Standard normal, by Box-Muller in double from two uniforms. Host-only: libm decides the last
 * bit. */
double rng_normal(rng_key_t key, uint64_t index);

/* FNV-1a of a name: the `stream` of a key. */
uint64_t rng_name(const char *name);

/* order becomes a permutation of 0..count-1 (Fisher-Yates over the key's sequence). */
void rng_permutation(rng_key_t key, int64_t count, int64_t *order);

#endif
