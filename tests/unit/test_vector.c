/* exp and tanh of vectors against double, over every sign and exponent of float. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "unit/vector_case.h"

enum { BLOCK = 1024, ISA_COUNT = 2 };

typedef void (*function_t)(const float *x, float *y, int64_t count);

static float of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Distance in units of the last place of a float of the size of `exact`. */
static double ulps(float value, double exact) {
    double limit = 0x1.ffffffp127; /* from here on floats round to infinity */
    if (fabs(exact) >= limit || isinf(value)) {
        return isinf(value) && fabs(exact) >= 0x1.fffffep127 && signbit(value) == signbit(exact)
                   ? 0.0
                   : INFINITY;
    }
    int exponent = exact == 0.0 ? -126 : ilogb(exact);
    double unit = ldexp(1.0, (exponent < -126 ? -126 : exponent) - 23);
    return fabs((double)value - exact) / unit;
}

/* Every `step`-th float, step odd: all bits of the fraction change. */
static double worst_of(function_t function, double (*exact)(double), uint32_t step) {
    float x[BLOCK], y[BLOCK];
    double worst = 0.0;
    uint32_t bits = 0;
    uint64_t rest = (UINT64_C(1) << 32) / step;
    while (rest > 0) {
        int count = 0;
        for (; count < BLOCK && rest > 0; rest--, bits += step) {
            x[count] = of_bits(bits);
            count += !isnan(x[count]);
        }
        function(x, y, count);
        for (int i = 0; i < count; i++) {
            double error = ulps(y[i], exact((double)x[i]));
            worst = error > worst || isnan(error) ? error : worst;
        }
    }
    return worst;
}

typedef struct isa {
    const char *name;
    bool here;
    function_t exp, tanh;
} isa_t;

static void list_isas(isa_t isa_out[ISA_COUNT]) {
    isa_out[0] = (isa_t){"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
                         exp_of_cpu_avx2, tanh_of_cpu_avx2};
    isa_out[1] = (isa_t){"avx512", __builtin_cpu_supports("avx512dq"), exp_of_cpu_avx512,
                         tanh_of_cpu_avx512};
}

static void errors_are_bounded(void **state) {
    (void)state;
    isa_t isa[ISA_COUNT];
    list_isas(isa);
    for (int i = 0; i < ISA_COUNT; i++) {
        if (isa[i].here) {
            double exp_error = worst_of(isa[i].exp, exp, 1009);
            double tanh_error = worst_of(isa[i].tanh, tanh, 1009);
            print_message("# %s: exp within %.3f ulp, tanh within %.3f\n", isa[i].name, exp_error,
                          tanh_error);
            assert_true(exp_error < 1.1 && tanh_error < 2.0);
        }
    }
}

static void special_values(void **state) {
    (void)state;
    const float x[] = {0.0F, -0.0F, INFINITY, -INFINITY, NAN, 89.0F, -200.0F, 1e-30F, -1e-30F};
    enum { COUNT = sizeof x / sizeof x[0] };
    isa_t isa[ISA_COUNT];
    list_isas(isa);
    for (int i = 0; i < ISA_COUNT; i++) {
        float y[COUNT];
        if (!isa[i].here) {
            continue;
        }
        isa[i].exp(x, y, COUNT);
        assert_memory_equal(y, ((float[]){1, 1, INFINITY, 0}), 4 * sizeof(float));
        assert_true(isnan(y[4]));
        assert_memory_equal(y + 5, ((float[]){INFINITY, 0, 1, 1}), 4 * sizeof(float));
        isa[i].tanh(x, y, COUNT);
        assert_memory_equal(y, ((float[]){0.0F, -0.0F, 1, -1}), 4 * sizeof(float));
        assert_true(isnan(y[4]));
        assert_memory_equal(y + 5, ((float[]){1, -1, 1e-30F, -1e-30F}), 4 * sizeof(float));
    }
}

/* What stands in the other lanes, and in which lane a number stands, does not matter. */
static void lanes_are_alone(void **state) {
    (void)state;
    isa_t isa[ISA_COUNT];
    list_isas(isa);
    for (int i = 0; i < ISA_COUNT; i++) {
        float x[33], y[33], alone;
        for (int j = 0; j < 33; j++) {
            x[j] = j == 7 ? NAN : (float)j * 0.37F - 6.0F;
        }
        for (int j = 0; j < 33 && isa[i].here; j++) {
            isa[i].exp(x, y, 33);
            isa[i].exp(x + j, &alone, 1);
            assert_memory_equal(&alone, y + j, sizeof alone);
            isa[i].tanh(x, y, 33);
            isa[i].tanh(x + j, &alone, 1);
            assert_memory_equal(&alone, y + j, sizeof alone);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_bounded),
        cmocka_unit_test(special_values),
        cmocka_unit_test(lanes_are_alone),
    };
    return RUN_TESTS(tests);
}
