#include <math.h>
#include <string.h>

#include "check.h"
#include "trainer/schedule.h"

static config_t *config_of(const char *yaml) {
    config_t *config = NULL;
    CHECK_OK(config_parse(yaml, "test", NULL, 0, &config));
    return config;
}

static void constant_with_warm_up(void **state) {
    (void)state;
    config_t *c = config_of("optimizer: {learning_rate: 0.8}\nschedule: {warmup_steps: 4}\n");
    assert_true(schedule_learning_rate(c, 0, 0) == 0.2);
    assert_true(schedule_learning_rate(c, 3, 0) == 0.8);
    assert_true(schedule_learning_rate(c, 100, 7) == 0.8);
    config_free(c);
}

static void steps_have_a_floor(void **state) {
    (void)state;
    config_t *c = config_of("optimizer: {learning_rate: 1.0}\n"
                            "schedule: {name: step, step_epochs: 3, gamma: 0.1, "
                            "min_learning_rate: 0.005}\n");
    assert_true(schedule_learning_rate(c, 0, 2) == 1.0);
    assert_true(fabs(schedule_learning_rate(c, 0, 3) - 0.1) < 1e-15);
    assert_true(schedule_learning_rate(c, 0, 300) == 0.005);
    config_free(c);
}

static void cosine_goes_from_one_to_zero(void **state) {
    (void)state;
    config_t *c =
        config_of("epochs: 10\noptimizer: {learning_rate: 2.0}\nschedule: {name: cosine}\n");
    assert_true(schedule_learning_rate(c, 0, 0) == 2.0);
    assert_true(fabs(schedule_learning_rate(c, 0, 5) - 1.0) < 1e-12);
    assert_true(fabs(schedule_learning_rate(c, 0, 10)) < 1e-12);
    config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_with_warm_up),
        cmocka_unit_test(steps_have_a_floor),
        cmocka_unit_test(cosine_goes_from_one_to_zero),
    };
    return RUN_TESTS(tests);
}
