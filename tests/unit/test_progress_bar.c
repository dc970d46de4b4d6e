#include <math.h>
#include <string.h>

#include "check.h"
#include "trainer/progress_bar.h"

static int width_of(const char *text) {
    int width = 0;
    for (const char *at = text; *at != '\0'; at++) {
        width += ((unsigned char)*at & 0xc0) != 0x80;
    }
    return width;
}

static const bar_t full = {.title = "",
                           .doing = "",
                           .fraction = 0.455,
                           .step = 120,
                           .step_total = 264,
                           .epoch = 4,
                           .epoch_total = 8,
                           .loss = 0.24314,
                           .metric = "ccc",
                           .value = 0.53124,
                           .best = 0.54,
                           .samples_per_s = 1234.0,
                           .data_wait_ms = 0.31,
                           .left_s = 80.0,
                           .ranks = 2};

static void everything_on_a_wide_terminal(void **state) {
    (void)state;
    char text[BAR_BYTES];
    progress_bar(&full, 200, false, text);
    assert_non_null(strstr(text, " 45 % [=================>"));
    assert_non_null(strstr(text,
                           "]  step 120/264  epoch 4/8  loss 0.2431  valid ccc 0.5312 (best "
                           "0.5400)  1.23k samples/s  data wait 0.3 ms  2 ranks  1m20s left"));
}

static void fits_every_width(void **state) {
    (void)state;
    char text[BAR_BYTES];
    for (int kind = 0; kind < 8; kind++) {
        bar_t bar = full;
        bar.title = kind & 1 ? "fold 12, seed 3 (13/340)" : "";
        bar.doing = kind & 2 ? "validating" : "";
        bar.at_most = (kind & 4) != 0;
        bar.step_total = kind & 4 ? 123456789 : 264;
        for (int columns = 12; columns < 300; columns++) {
            progress_bar(&bar, columns, kind & 1, text);
            assert_true(width_of(text) <= columns - 3);
            assert_true(strncmp(strstr(text, "45 %"), "45 %", 4) == 0);
        }
    }
}

/* The loss and the time stay longest. */
static void the_least_important_goes_first(void **state) {
    (void)state;
    char text[BAR_BYTES];
    progress_bar(&full, 80, false, text);
    assert_null(strstr(text, "epoch"));
    assert_non_null(strstr(text, "120/264"));
    assert_non_null(strstr(text, "ccc 0.5312"));
    progress_bar(&full, 42, false, text);
    assert_null(strstr(text, "120/264"));
    assert_non_null(strstr(text, "loss 0.2431"));
    assert_non_null(strstr(text, "1m20s"));
}

static void nothing_is_claimed_that_is_not_known(void **state) {
    (void)state;
    char text[BAR_BYTES];
    bar_t bar = {
        .title = "", .doing = "", .step_total = 10, .loss = NAN, .value = NAN, .best = NAN};
    bar.left_s = -1.0;
    bar.ranks = 1;
    progress_bar(&bar, 200, false, text);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "loss"));
    assert_null(strstr(text, "left"));
    assert_null(strstr(text, "samples"));
    bar.fraction = 0.999; /* 100 % is all of it */
    progress_bar(&bar, 200, false, text);
    assert_non_null(strstr(text, " 99 %"));
    bar.at_most = true;
    bar.left_s = 5.0;
    progress_bar(&bar, 200, false, text);
    assert_non_null(strstr(text, "up to 5.0s left"));
}

static void durations_have_two_units(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0.0, "0.0s"},      {9.94, "9.9s"},      {9.96, "10s"},     {59.4, "59s"},
                 {59.6, "1m00s"},    {3599.4, "59m59s"},  {3599.6, "1h00m"}, {86399.0, "23h59m"},
                 {86400.0, "1d00h"}, {200000.0, "2d07h"}, {1e300, "ages"},   {NAN, "ages"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[DURATION_BYTES];
        duration_text(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void amounts_have_three_digits(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0"},         {0.314, "0.31"},       {42.0, "42"},      {42.25, "42.2"},
                 {999.0, "999"},     {999.6, "1.00k"},      {1234.0, "1.23k"}, {45600.0, "45.6k"},
                 {456000.0, "456k"}, {11170818.0, "11.2M"}, {7.89e9, "7.89G"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[AMOUNT_BYTES];
        amount_text(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    char text[AMOUNT_BYTES];
    amount_of_text(1.25e9, "B", text);
    assert_string_equal(text, "1.25 GB");
    amount_of_text(12.0, "B", text);
    assert_string_equal(text, "12 B");
}

static void work_fits_every_width(void **state) {
    (void)state;
    work_t work = {.what = "writing", .unit = "recordings", .total = 256};
    char text[WORK_BYTES];
    work_line(&work, 64, 10.0, 100, false, text);
    assert_string_equal(text, "writing  25 % [=========>............................]  64/256 "
                              "recordings  30s left");
    work_line(&work, 0, 10.0, 60, false, text);
    assert_null(strstr(text, "left"));
    for (int i = 0; i < 6; i++) {
        int64_t done = i < 2 ? 0 : i < 4 ? 100 : 256;
        work.unit = i % 2 == 0 ? "recordings" : NULL;
        for (int columns = 17; columns < 300; columns++) {
            work_line(&work, done, 3600.0, columns, i % 3 == 0, text);
            assert_true(width_of(text) <= columns - 3);
            assert_non_null(strstr(text, done == 0 ? "writing   0 %" : "writing "));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_on_a_wide_terminal),
        cmocka_unit_test(fits_every_width),
        cmocka_unit_test(work_fits_every_width),
        cmocka_unit_test(the_least_important_goes_first),
        cmocka_unit_test(nothing_is_claimed_that_is_not_known),
        cmocka_unit_test(durations_have_two_units),
        cmocka_unit_test(amounts_have_three_digits),
    };
    return RUN_TESTS(tests);
}
