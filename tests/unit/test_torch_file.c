/* Files that torch.save wrote (tests/reference/write_torch_files.py), in both formats. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/torch_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define TORCH_DIR SOURCE_DIR "/tests/unit/torch/"

static float *read_numbers(torch_file_t *file, const pickle_value_t *dict, const char *key,
                           int64_t count) {
    const pickle_value_t *value = pickle_find(dict, key);
    assert_non_null(value);
    assert_int_equal(value->kind, PICKLE_ARRAY);
    assert_int_equal(value->u.array->count, count);
    float *numbers = alloc_zero(count + 1, sizeof *numbers);
    CHECK_OK(torch_read(file, value->u.array, numbers));
    return numbers;
}

static void check_counted(torch_file_t *file, const char *key, int64_t count, double begin,
                          double step) {
    float *numbers = read_numbers(file, torch_root(file), key, count);
    for (int64_t i = 0; i < count; i++) {
        assert_true(numbers[i] == begin + (double)i * step);
    }
    free(numbers);
}

static void check_rows(torch_file_t *file, const char *key, int64_t rows, int64_t columns,
                       double begin, double row_step, double column_step) {
    float *numbers = read_numbers(file, torch_root(file), key, rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) {
        double want =
            begin + (double)(i / columns) * row_step + (double)(i % columns) * column_step;
        assert_true(numbers[i] == want);
    }
    free(numbers);
}

static void both_formats_hold_the_same(void **state) {
    (void)state;
    const char *const paths[] = {TORCH_DIR "zip.pt", TORCH_DIR "stream.pth"};
    for (int p = 0; p < ARRAY_LEN(paths); p++) {
        torch_file_t *file = NULL;
        CHECK_OK(torch_open(paths[p], &file));
        const pickle_value_t *model = pickle_find(torch_root(file), "state_dict");
        float *weight = read_numbers(file, model, "0.weight", 6);
        assert_true(weight[5] == 5.0);
        free(weight);
        float *bias = read_numbers(file, model, "0.bias", 2);
        assert_true(bias[1] == 0.5);
        free(bias);
        float *batches = read_numbers(file, model, "1.num_batches_tracked", 1);
        assert_true(batches[0] == 0.0);
        free(batches);
        check_counted(file, "parameter", 4, 0.0, 1.0);
        check_rows(file, "transposed", 6, 4, 0.0, 1.0, 6.0);
        check_rows(file, "part", 2, 3, 8.0, 6.0, 1.0);
        check_counted(file, "f16", 5, 0.0, 0.25);
        check_counted(file, "bf16", 5, 0.0, 8.0);
        check_counted(file, "f64", 24, 0.0, 0.125);
        check_counted(file, "i64", 3, -1.0, 1.0);
        check_counted(file, "scalar", 1, 2.5, 0.0);
        check_counted(file, "empty", 0, 0.0, 0.0);
        float *truth = read_numbers(file, torch_root(file), "bool", 3);
        assert_true(truth[0] == 0.0f && truth[1] == 1.0f && truth[2] == 1.0f);
        free(truth);
        assert_int_equal(pickle_find(torch_root(file), "epoch")->u.integer, 7);
        torch_close(file);
    }
}

static void a_file_of_python_2_is_read(void **state) {
    (void)state;
    torch_file_t *file = NULL;
    CHECK_OK(torch_open(TORCH_DIR "python2.pt", &file));
    check_rows(file, "logits.weight", 2, 3, 0.0, 3.0, 1.0);
    check_counted(file, "logits.bias", 2, 2.0, 1.0);
    torch_close(file);
}

static void check_refused(const char *path, const char *why) {
    torch_file_t *file = NULL;
    CHECK_FAILS(torch_open(path, &file), STATUS_INPUT, why);
}

static void others_are_refused(void **state) {
    (void)state;
    check_refused(TORCH_DIR "module.pt", "torch.nn.modules.linear.Linear");
    check_refused(TORCH_DIR "expanded.pt", "make it .contiguous()");
    check_refused(TORCH_DIR "features-4.pkl", "no file of PyTorch");
    check_refused(TORCH_DIR "nothing.pt", "No such file");
}

/* Any cut, and any byte of the numbers of a zip that is another. */
static void damage_is_found(void **state) {
    (void)state;
    const char *const paths[] = {TORCH_DIR "zip.pt", TORCH_DIR "stream.pth",
                                 TORCH_DIR "python2.pt"};
    char place[] = "/tmp/jmt-torch-XXXXXX";
    assert_non_null(mkdtemp(place));
    char *path = text_format("%s/it.pt", place);
    for (int p = 0; p < ARRAY_LEN(paths); p++) {
        char *data = NULL;
        size_t bytes = 0;
        CHECK_OK(file_read(paths[p], &data, &bytes));
        for (size_t cut = 0; cut < bytes; cut += 1 + bytes / 199) {
            torch_file_t *file = NULL;
            FILE *out = fopen(path, "wb");
            assert_int_equal(fwrite(data, 1, cut, out), cut);
            fclose(out);
            assert_int_equal(torch_open(path, &file), STATUS_INPUT);
        }
        free(data);
    }
    free(path);
    CHECK_OK(dir_remove(place));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_hold_the_same),
        cmocka_unit_test(a_file_of_python_2_is_read),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(damage_is_found),
    };
    return RUN_TESTS(tests);
}
