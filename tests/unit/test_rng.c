#include <string.h>

#include "check.h"
#include "kernels/base/rng.h"

/* Known answers of Philox4x32-10 from the Random123 distribution (kat_vectors). */
static void philox_known_answers(void **state) {
    (void)state;
    uint32_t out[4];
    rng_block((rng_key_t){0, 0, 0}, 0, out);
    assert_int_equal(out[0], 0x6627e8d5u);
    assert_int_equal(out[1], 0xe169c58du);
    assert_int_equal(out[2], 0xbc57ac4cu);
    assert_int_equal(out[3], 0x9b00dbd8u);
    rng_block((rng_key_t){UINT64_MAX, UINT64_MAX, 0}, UINT64_MAX, out);
    assert_int_equal(out[0], 0x408f276du);
    assert_int_equal(out[1], 0x41c83b0eu);
    assert_int_equal(out[2], 0xa20bc7c6u);
    assert_int_equal(out[3], 0x6d5451fdu);
}

static void uniform_is_in_range_and_centred(void **state) {
    (void)state;
    double sum = 0.0;
    for (uint64_t i = 0; i < 100000; i++) {
        float u = rng_uniform((rng_key_t){7, rng_name("node"), 3}, i);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += u;
    }
    assert_true(sum > 49500.0 && sum < 50500.0);
}

static void permutation_is_one_and_depends_on_the_turn(void **state) {
    (void)state;
    enum { COUNT = 257 };
    int64_t a[COUNT], b[COUNT];
    int seen[COUNT] = {0};
    rng_permutation((rng_key_t){1, 2, 0}, COUNT, a);
    rng_permutation((rng_key_t){1, 2, 1}, COUNT, b);
    for (int i = 0; i < COUNT; i++) {
        seen[a[i]]++;
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_not_equal(memcmp(a, b, sizeof a), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(uniform_is_in_range_and_centred),
        cmocka_unit_test(permutation_is_one_and_depends_on_the_turn),
    };
    return RUN_TESTS(tests);
}
