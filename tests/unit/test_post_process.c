#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/post_process.h"

/* A filter as one would draw it: each end repeated, or zeros, laid out before anything is added. */
static float plain(const float *x, int64_t count, int64_t width, edges_t edges, int64_t i) {
    enum { MARGIN = 64 };
    double padded[256], sum = 0.0;
    for (int64_t k = 0; k < count + 2 * MARGIN; k++) {
        int64_t at = k - MARGIN;
        bool inside = at >= 0 && at < count;
        double end = (double)(at < 0 ? x[0] : x[count - 1]);
        padded[k] = inside ? (double)x[at] : edges == EDGES_NEAREST ? end : 0.0;
    }
    for (int64_t k = 0; k < width; k++) {
        sum += padded[MARGIN + i - width / 2 + k];
    }
    return (float)(sum / (double)width);
}

static void box_filter_by_hand(void **state) {
    (void)state;
    const float x[] = {1.f, 2.f, 6.f, -3.f};
    /* two: this step and the one before; three: one more behind */
    const float two[] = {1.f, 1.5f, 4.f, 1.5f}, two_zeros[] = {.5f, 1.5f, 4.f, 1.5f};
    const float three[] = {4.f / 3.f, 3.f, 5.f / 3.f, 0.f},
                three_zeros[] = {1.f, 3.f, 5.f / 3.f, 1.f};
    const struct {
        int64_t width;
        edges_t edges;
        const float *want;
    } cases[] = {{2, EDGES_NEAREST, two},
                 {2, EDGES_CONSTANT, two_zeros},
                 {3, EDGES_NEAREST, three},
                 {3, EDGES_CONSTANT, three_zeros}};
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        float out[4];
        box_filter(x, 4, cases[c].width, cases[c].edges, out);
        for (int i = 0; i < 4; i++) {
            assert_true(fabsf(out[i] - cases[c].want[i]) <= 1e-6f);
        }
    }
}

static void box_filter_as_drawn(void **state) {
    (void)state;
    const int64_t counts[] = {1, 2, 7, 40}, widths[] = {1, 2, 3, 4, 5, 20, 39, 50};
    float x[40], out[40];
    for (int i = 0; i < 40; i++) {
        x[i] = sinf(1.7f * (float)i) + 0.01f * (float)i;
    }
    for (int c = 0; c < ARRAY_LEN(counts); c++) {
        for (int w = 0; w < ARRAY_LEN(widths); w++) {
            for (edges_t edges = EDGES_NEAREST; edges <= EDGES_CONSTANT; edges++) {
                box_filter(x, counts[c], widths[w], edges, out);
                for (int64_t i = 0; i < counts[c]; i++) {
                    float want = plain(x, counts[c], widths[w], edges, i);
                    assert_true(fabsf(out[i] - want) <= 2.5e-7f); /* 2 float roundings below 2 */
                }
            }
        }
    }
}

static void a_constant_stays(void **state) {
    (void)state;
    float x[30], out[30];
    for (int i = 0; i < 30; i++) {
        x[i] = 0.3f;
    }
    for (int64_t width = 1; width < 70; width++) {
        box_filter(x, 30, width, EDGES_NEAREST, out);
        for (int i = 0; i < 30; i++) {
            assert_true(out[i] == 0.3f);
        }
    }
}

/* Clipped first; a stretch by itself; what is no step of its own neither enters nor is smoothed. */
static void stretches_by_themselves(void **state) {
    (void)state;
    const float x[] = {.5f, 3.f, 9.f, -.5f, -4.f, -.2f, .4f};
    const int64_t stretch[] = {0, 0, -1, 0, 1, -1, 1};
    const float want[] = {.5f, .75f, 1.f, .25f, -1.f, -.2f, -.3f};
    post_process_t how = {.clip = true, .width = 2, .edges = EDGES_NEAREST};
    float out[7];
    post_process(&how, x, stretch, 7, out);
    for (int i = 0; i < 7; i++) {
        assert_true(fabsf(out[i] - want[i]) <= 1e-7f);
    }
    how.width = 0;
    post_process(&how, x, stretch, 7, out);
    assert_true(out[1] == 1.f && out[4] == -1.f && out[0] == .5f);
    how.clip = false;
    post_process(&how, x, stretch, 7, out);
    assert_memory_equal(out, x, sizeof x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(box_filter_by_hand),
        cmocka_unit_test(box_filter_as_drawn),
        cmocka_unit_test(a_constant_stays),
        cmocka_unit_test(stretches_by_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
