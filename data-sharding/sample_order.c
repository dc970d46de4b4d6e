#include "data-sharding/sample_order.h"

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

void sample_order(uint64_t seed, int64_t epoch, int64_t count, int64_t *order) {
    rng_permutation((rng_key_t){seed, rng_name("shuffle"), (uint64_t)epoch}, count, order);
}

int64_t sample_batches(int64_t count, int64_t batch) {
    REQUIRE(batch > 0);
    return div_up(count, batch);
}
