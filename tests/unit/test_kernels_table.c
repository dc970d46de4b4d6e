#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/device.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"
#include "kernels/ref/rows.h"
#include "unit/op_case.h"

static void check_full(const kernels_t *kernels, const char *backend, dtype_t dtype) {
    assert_string_equal(kernels->backend, backend);
    assert_int_equal(kernels->dtype, dtype);
    for (int i = 0; i < OP_COUNT; i++) {
        const op_row_t *row = &kernels->ops[i];
        assert_true(row->plan != NULL && row->plan_close != NULL);
        assert_true(row->forward != NULL && row->backward_data != NULL);
        bool weights = i == OP_linear || i == OP_add_layernorm || i == OP_add_rows ||
                       i == OP_fill_rows || i == OP_temporal_conv || i == OP_conv ||
                       i == OP_batch_norm || i == OP_mix_rows || i == OP_prelu;
        assert_int_equal(row->backward_weights != NULL, weights);
        row->plan_close(NULL);
    }
    assert_true(kernels->loss_sums != NULL && kernels->loss_gradient != NULL);
    assert_true(kernels->optimizer_update != NULL && kernels->judge != NULL &&
                kernels->add != NULL);
    assert_true(kernels->multiply != NULL && kernels->sums_total != NULL);
    assert_true(kernels->pictures != NULL);
    assert_true(kernels->mask_any != NULL && kernels->mask_all != NULL);
    assert_true(kernels->mask_seen != NULL && kernels->mask_tokens != NULL);
    assert_string_equal(kernels->device, "cpu");
    assert_true(kernels->sum_squares_spans != NULL && kernels->all_finite != NULL);
}

static void tables_have_no_holes(void **state) {
    (void)state;
    check_full(case_table("ref", DTYPE_F32), "ref", DTYPE_F32);
    check_full(case_table("ref", DTYPE_F64), "ref", DTYPE_F64);
    check_full(case_table("cpu", DTYPE_F32), "cpu", DTYPE_F32);
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int i = 0; i < count; i++) {
        check_full(tables[i], i == 0 ? "ref" : "cpu", DTYPE_BF16);
    }
    assert_ptr_equal(case_table("cpu", DTYPE_F32), case_table("cpu", DTYPE_F32));
}

static void what_is_not_there_is_refused(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    CHECK_FAILS(kernels_for("cpu", DTYPE_F64, &kernels), STATUS_UNAVAILABLE, "backend ref");
    CHECK_FAILS(kernels_for("cuda", DTYPE_F64, &kernels), STATUS_UNAVAILABLE, "use backend:");
    if (!cuda_is_built()) {
        CHECK_FAILS(kernels_for("cuda", DTYPE_F32, &kernels), STATUS_UNAVAILABLE, "backend: cpu");
    }
    CHECK_FAILS(kernels_for("abacus", DTYPE_F32, &kernels), STATUS_INPUT, "abacus");
    assert_null(kernels);
    const device_t *device = NULL;
    if (case_gpu() == NULL) {
        CHECK_FAILS(device_open("cuda", 0, 1, &device), STATUS_UNAVAILABLE, "device: cpu");
    }
    CHECK_FAILS(device_open("tpu", 0, 1, &device), STATUS_INPUT, "tpu");
    assert_null(device);
}

static void the_instruction_set_can_be_chosen(void **state) {
    (void)state;
    char kept[16] = "";
    const char *isa = getenv("JMT_ISA");
    strncpy(kept, isa == NULL ? "" : isa, sizeof kept - 1);
    const kernels_t *chosen = case_table("cpu", DTYPE_F32);
    CHECK_OK(kernels_isa(&isa));
    const char *session = isa;
    setenv("JMT_ISA", "generic", 1);
    CHECK_OK(kernels_isa(&isa));
    assert_string_equal(isa, "generic");
    const kernels_t *kernels = NULL;
    CHECK_OK(kernels_for("cpu", DTYPE_F32, &kernels));
    assert_true((kernels == chosen) == (strcmp(session, "generic") == 0));
    CHECK_OK(kernels_for("cpu", DTYPE_BF16, &kernels));
    assert_ptr_equal(kernels, &kernels_cpu_generic_bf16);
    CHECK_OK(kernels_for("ref", DTYPE_F32, &kernels));
    setenv("JMT_ISA", "sse9", 1);
    CHECK_FAILS(kernels_isa(&isa), STATUS_INPUT, "generic, avx2 or avx512");
    CHECK_FAILS(kernels_for("cpu", DTYPE_F32, &kernels), STATUS_INPUT, "sse9");
    setenv("JMT_ISA", "avx512", 1);
    if (!__builtin_cpu_supports("avx512dq")) {
        CHECK_FAILS(kernels_isa(&isa), STATUS_UNAVAILABLE, "unset JMT_ISA");
    } else { /* products of bf16 are no part of it: asked for each time */
        CHECK_OK(kernels_for("cpu", DTYPE_BF16, &kernels));
        assert_int_equal(kernels->pairs, __builtin_cpu_supports("avx512bf16") != 0);
    }
    setenv("JMT_ISA", kept, 1);
    CHECK_OK(kernels_isa(&isa));
    assert_string_equal(isa, session);
    assert_string_equal(kernels_library_version("cpu"), "products 7");
}

static void device_memory(void **state) {
    (void)state;
    const device_t *device = NULL, *automatic = NULL;
    CHECK_OK(device_open("cpu", 0, 1, &device));
    CHECK_OK(device_open("auto", 0, 1, &automatic));
    assert_ptr_equal(device, automatic);
    for (size_t bytes = 0; bytes < 300; bytes += 99) {
        void *memory = NULL;
        unsigned char host[300], back[300];
        memset(host, 7, sizeof host);
        CHECK_OK(device->alloc(device, bytes, "a test", &memory));
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(((unsigned char *)memory)[i], 0);
        }
        device->copy_in(device, memory, host, bytes);
        device->copy_out(device, back, memory, bytes);
        device->synchronize(device);
        assert_memory_equal(host, back, bytes);
        device->fill_zero(device, memory, bytes);
        device->copy_out(device, back, memory, bytes);
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(back[i], 0);
        }
        device->release(device, memory);
    }
    device->release(device, NULL);
}

/* volatile: the compiler would otherwise warn that the size is absurd, which is the point */
static void too_much_memory_is_an_error(void **state) {
    (void)state;
    const device_t *device = NULL;
    void *memory = NULL;
    volatile size_t absurd = SIZE_MAX / 4;
    CHECK_OK(device_open("cpu", 0, 1, &device));
    CHECK_FAILS(device->alloc(device, absurd, "the arena", &memory), STATUS_FAILED, "the arena");
    assert_null(memory);
}

static mask_t mask_of(uint8_t *data, int64_t count) {
    return (mask_t){.data = data, .count = count, .shard_stride = count};
}

static const kernels_t *masks(void) { return case_table("cpu", DTYPE_F32); }

static void any_mask(void **state) {
    (void)state;
    uint8_t a[6] = {1, 0, 0, 1, 0, 0}, b[6] = {0, 1, 0, 0, 0, 1}, out[6];
    mask_t in[2] = {mask_of(a, 3), mask_of(b, 3)};
    memset(out, 9, sizeof out);
    masks()->mask_any(NULL, mask_of(out, 3), in, 2, 1, 2);
    assert_memory_equal(out, ((uint8_t[]){9, 9, 9, 1, 0, 1}), 6);
    masks()->mask_any(NULL, mask_of(out, 3), in, 2, 0, 2);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 0, 1, 0, 1}), 6);
    in[1].data = NULL;
    masks()->mask_any(NULL, mask_of(out, 3), in, 2, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 1}), 3);
}

static void all_mask(void **state) {
    (void)state;
    uint8_t a[6] = {1, 0, 1, 1, 0, 0}, b[6] = {0, 1, 1, 1, 0, 1}, out[6];
    mask_t in[2] = {mask_of(a, 3), mask_of(b, 3)};
    memset(out, 9, sizeof out);
    masks()->mask_all(NULL, mask_of(out, 3), in, 2, 1, 2);
    assert_memory_equal(out, ((uint8_t[]){9, 9, 9, 1, 0, 0}), 6);
    masks()->mask_all(NULL, mask_of(out, 3), in, 2, 0, 2);
    assert_memory_equal(out, ((uint8_t[]){0, 0, 1, 1, 0, 0}), 6);
    in[1].data = NULL;
    masks()->mask_all(NULL, mask_of(out, 3), in, 2, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 0, 1}), 3);
}

/* Two groups of two rows, three tokens; keys of another length than the rows. */
static void token_mask(void **state) {
    (void)state;
    uint8_t a[4] = {1, 0, 1, 1}, b[4] = {1, 1, 0, 1}, few[6] = {0, 0, 1, 0, 0, 0}, out[12];
    mask_t query[3] = {mask_of(a, 4), mask_of(b, 4), {0}};
    mask_t key[3] = {mask_of(b, 4), mask_of(few, 6), mask_of(a, 4)};
    masks()->mask_tokens(NULL, mask_of(out, 12), query, key, 3, 2, false, 0, 1);
    const uint8_t expected[12] = {1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1};
    assert_memory_equal(out, expected, 12);
    key[1].data = NULL;
    masks()->mask_tokens(NULL, mask_of(out, 12), query, key, 3, 2, false, 0, 1);
    assert_int_equal(out[3 * 3 + 1], 1);
    assert_int_equal(out[2 * 3 + 1], 0);
    uint8_t late[4] = {0, 1, 1, 0}, all[4] = {1, 1, 1, 1};
    mask_t asked = mask_of(late, 4), asking = mask_of(all, 4);
    masks()->mask_tokens(NULL, mask_of(out, 4), &asking, &asked, 1, 2, true, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){0, 1, 1, 1}), 4);
    memset(out, 9, sizeof out); /* the second shard alone, of two rows in one group */
    asked.count = asked.shard_stride = asking.count = asking.shard_stride = 2;
    masks()->mask_tokens(NULL, mask_of(out, 2), &asking, &asked, 1, 1, true, 1, 2);
    assert_memory_equal(out, ((uint8_t[]){9, 9, 1, 1, 9}), 5);
}

/* Two groups of two keys; as many rows, one row each, and three. */
static void seen_mask(void **state) {
    (void)state;
    uint8_t keys[4] = {0, 1, 0, 0}, out[6];
    mask_t key = mask_of(keys, 4);
    masks()->mask_seen(NULL, mask_of(out, 4), key, 2, false, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 0, 0}), 4);
    masks()->mask_seen(NULL, mask_of(out, 4), key, 2, true, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){0, 1, 0, 0}), 4);
    masks()->mask_seen(NULL, mask_of(out, 2), key, 2, false, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 0}), 2);
    masks()->mask_seen(NULL, mask_of(out, 6), key, 2, false, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 1, 0, 0, 0}), 6);
    masks()->mask_seen(NULL, mask_of(out, 4), (mask_t){0}, 2, true, 0, 1);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 1, 1}), 4);
    memset(out, 9, sizeof out); /* the second shard alone, of two keys in one group */
    uint8_t shards[4] = {1, 1, 0, 1};
    masks()->mask_seen(NULL, mask_of(out, 2), mask_of(shards, 2), 1, true, 1, 2);
    assert_memory_equal(out, ((uint8_t[]){9, 9, 0, 1, 9, 9}), 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_no_holes),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(the_instruction_set_can_be_chosen),
        cmocka_unit_test(device_memory),
        cmocka_unit_test(too_much_memory_is_an_error),
    };
    const struct CMUnitTest of_masks[] = {
        cmocka_unit_test(any_mask),
        cmocka_unit_test(all_mask),
        cmocka_unit_test(token_mask),
        cmocka_unit_test(seen_mask),
    };
    int failed = RUN_TESTS(tests);
    return failed + RUN_ON_GPU_OR_HOST(of_masks);
}
