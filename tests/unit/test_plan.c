/* What `jmt plan` says of the published size, counted again by hand. */
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/plan_report.h"

static json_t *plan_of(const char *set) {
    config_t *config = NULL;
    json_t *plan = NULL;
    CHECK_OK(config_load(SOURCE_DIR "/configs/full/jmt.yaml", &set, 1, &config));
    CHECK_OK(plan_report(config, &plan));
    config_free(config);
    return plan;
}

static double number(const json_t *plan, const char *key) {
    assert_true(json_is_number(json_object_get(plan, key)));
    return json_number_value(json_object_get(plan, key));
}

static void full_size_is_counted_right(void **state) {
    (void)state;
    const double d = 512, length = 16, tokens = 6, batch = 32, parameters = 11170818;
    json_t *plan = plan_of("virtual_shards=8");
    assert_true(number(plan, "parameters") == parameters);
    /* jmt.md 7.2 and 7.3: Q and K of a stream's queries applied once, the last attention for one
     * token, which applies K and V once */
    double encoder = length * 6 * d * d + 2 * length * length * d;
    double cross = 3 * length * 2 * d * d + 6 * (length * 2 * d * d + 2 * length * length * d);
    double token = length * tokens * 6 * d * d + 2 * length * tokens * tokens * d;
    double last = length * 4 * d * d + 2 * length * tokens * d;
    double heads = 2 * length * (d * 128 + 128);
    double joint = length * 2 * d * d;
    double macs = joint + 3 * encoder + cross + token + last + heads;
    assert_true(number(plan, "macs") == macs);
    /* Each product has two gradients, but nobody needs that of the inputs: the joint projection and
     * two packed projections of three d x d have one. */
    double step = 3 * macs - joint - 2 * length * 3 * d * d;
    assert_true(number(plan, "flop_step") == 2 * step * batch);
    const json_t *shard = json_object_get(plan, "shard");
    assert_true(number(shard, "samples") == 4);
    assert_true(number(shard, "fold_additions") == 7 * parameters);
    double known = number(plan, "arena_bytes") + number(plan, "optimizer_bytes");
    assert_true(number(plan, "rss_bytes") > known + 2 * 4 * parameters);
    json_decref(plan);
}

/* data.prefetch: features, masks and labels of each batch ahead. */
static void batches_ahead_take_memory(void **state) {
    (void)state;
    json_t *none = plan_of("data.prefetch=0"), *ten = plan_of("data.prefetch=10");
    double bytes = 32 * 16 * (2 * (512 * 4 + 1) + 2 * 4);
    double more = number(ten, "rss_bytes") - number(ten, "process_bytes");
    more -= number(none, "rss_bytes") - number(none, "process_bytes");
    assert_true(more == 10 * bytes);
    json_decref(none);
    json_decref(ten);
}

static void layers_add_up(void **state) {
    (void)state;
    json_t *plan = plan_of("model.name=concat"), *layer;
    const json_t *layers = json_object_get(plan, "layers");
    double parameters = 0, macs = 0;
    size_t i;
    json_array_foreach(layers, i, layer) {
        parameters += number(layer, "parameters");
        macs += number(layer, "macs");
        assert_true(json_is_string(json_object_get(layer, "name")));
        assert_true(json_is_string(json_object_get(layer, "op")));
        assert_int_equal(json_array_size(json_object_get(layer, "shape")), 2);
    }
    assert_true(parameters == 656386 && number(plan, "parameters") == parameters);
    assert_true(number(plan, "macs") == macs);
    json_decref(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_size_is_counted_right),
        cmocka_unit_test(batches_ahead_take_memory),
        cmocka_unit_test(layers_add_up),
    };
    return RUN_TESTS(tests);
}
