/* Tables of numbers out of files that numpy and PyTorch wrote
 * (tests/reference/write_torch_files.py): what a path names, and what is refused. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "data-sharding/inspect.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

#define WITH_BYTES(text) text, sizeof(text) - 1
#define TORCH_DIR        SOURCE_DIR "/tests/unit/torch/"

static const matrix_rules_t rules = {-1, 0};

/* Number [i, j] is begin + i row_step + j column_step. */
typedef struct table_case {
    const char *file, *dataset;
    int64_t rows, columns;
    double begin, row_step, column_step;
} table_case_t;

static void check_tables(const table_case_t *cases, int count) {
    for (int c = 0; c < count; c++) {
        const table_case_t *t = &cases[c];
        char *path = text_format("%s%s", TORCH_DIR, t->file);
        matrix_t m = {0};
        CHECK_OK(matrix_read(path, t->dataset, &rules, &m));
        assert_int_equal(m.rows, t->rows);
        assert_int_equal(m.columns, t->columns);
        for (int64_t i = 0; i < m.rows * m.columns; i++) {
            double want = t->begin + (double)(i / m.columns) * t->row_step +
                          (double)(i % m.columns) * t->column_step;
            assert_true(m.values[i] == want && m.valid[i / m.columns] == 1);
        }
        matrix_free(&m);
        free(path);
    }
}

static void tensors_are_tables(void **state) {
    (void)state;
    static const char *const both[] = {"zip.pt", "stream.pth"};
    for (int f = 0; f < ARRAY_LEN(both); f++) {
        const table_case_t cases[] = {
            {both[f], "parameter", 2, 2, 0, 2, 1},
            {both[f], "transposed", 6, 4, 0, 1, 6},
            {both[f], "part", 2, 3, 8, 6, 1},
            {both[f], "f16", 5, 1, 0, 0.25, 0},
            {both[f], "bf16", 5, 1, 0, 8, 0},
            {both[f], "f64/1", 3, 4, 1.5, 0.5, 0.125},
            {both[f], "f64/1/2", 4, 1, 2.5, 0.125, 0},
            {both[f], "i64", 3, 1, -1, 1, 0},
            {both[f], "empty", 0, 3, 0, 0, 0},
            {both[f], "state_dict/0.weight", 2, 3, 0, 3, 1},
        };
        check_tables(cases, ARRAY_LEN(cases));
    }
    static const table_case_t alone[] = {{"tensor.pt", "", 3, 2, 0, 0.5, 0.25},
                                         {"python2.pt", "logits.weight", 2, 3, 0, 3, 1}};
    check_tables(alone, ARRAY_LEN(alone));
}

static void arrays_of_pickles_are_tables(void **state) {
    (void)state;
    for (int protocol = 2; protocol <= 5; protocol++) {
        char *file = text_format("features-%d.pkl", protocol);
        const table_case_t cases[] = {
            {file, "train/text/0", 3, 4, 0, 4, 1},    {file, "train/text/1", 3, 4, 12, 4, 1},
            {file, "train/text/1/2", 4, 1, 20, 1, 0}, {file, "train/fortran", 3, 4, 0, 4, 1},
            {file, "train/fortran/2", 4, 1, 8, 1, 0}, {file, "train/big", 4, 1, -1, 1, 0},
            {file, "train/half", 3, 1, 0, 0.25, 0},   {file, "train/yes", 2, 1, 1, -1, 0},
            {file, "train/empty", 0, 5, 0, 0, 0},
        };
        check_tables(cases, ARRAY_LEN(cases));
        free(file);
    }
}

/* The longest key wins, a number is a key or an index, and a dict of one thing is that thing. */
static void a_path_goes_through_keys_and_indexes(void **state) {
    (void)state;
    static const table_case_t cases[] = {
        {"nested.pickle", "0/0", 2, 3, 0, 3, 1},
        {"nested.pickle", "0/1", 2, 3, 10, 3, 1},
        {"nested.pickle", "a/b", 2, 3, 0, 3, 1},
        {"nested.pickle", "part", 2, 3, 6, 5, 1},
    };
    check_tables(cases, ARRAY_LEN(cases));
    matrix_t m = {0};
    CHECK_OK(matrix_read(TORCH_DIR "nested.pickle", "a/c", &rules, &m));
    assert_true(m.rows == 3 && m.columns == 1 && m.values[0] == 1.5f);
    assert_memory_equal(m.valid, "\1\0\0", 3); /* NaN and infinity are gaps */
    matrix_free(&m);
}

static void a_manifest_lists_them(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "data");
    char *manifest = text_format("recording,subject,group,modality,rate_hz,path,dataset\n"
                                 "r,s,,a,1,%snested.pickle,0/1\nr,s,,b,1,%szip.pt,part\n"
                                 "r,s,,label:y,1,%sfeatures-4.pkl,train/half\n",
                                 TORCH_DIR, TORCH_DIR, TORCH_DIR);
    place_text(place, "manifest.csv", manifest);
    CHECK_OK(import_run("features", place, path, NULL, 0));
    dataset_config_t config = inspect_defaults(path);
    char *text = NULL;
    CHECK_OK(inspect_dataset(&config, &text));
    free(text);
    free(manifest);
    free(path);
    place_remove(place);
}

static void what_is_no_table_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *file, *dataset, *why;
    } cases[] = {
        {"zip.pt", "",
         "zip.pt: a dict; name one of its 16 in the column \"dataset\": state_dict, "
         "epoch, best"},
        {"zip.pt", "parameters", "zip.pt: there is no parameters; name one of its 16"},
        {"zip.pt", "f64", "zip.pt: f64: an array of neither one nor two dimensions"},
        {"zip.pt", "scalar", "zip.pt: scalar: an array of neither one nor two dimensions"},
        {"zip.pt", "epoch", "zip.pt: epoch: no array or tensor"},
        {"zip.pt", "f64/2", "zip.pt: f64/: there are 2 items; name one by its index from 0"},
        {"zip.pt", "f64/-1", "there are 2 items"},
        {"zip.pt", "f64/1x", "there are 2 items"},
        {"zip.pt", "i64/0", "zip.pt: i64/: a row of it is no table"},
        {"tensor.pt", "x", "tensor.pt: there are 3 items"},
        {"nested.pickle", "words", "nested.pickle: words: an array of texts"},
        {"nested.pickle", "0", "nested.pickle: 0: there are 2 items"},
        {"nested.pickle", "0/2", "there are 2 items"},
        {"nested.pickle", "a/d",
         "nested.pickle: a/: there is no d; name one of its 2 in the column "
         "\"dataset\": b, c"},
        {"nested.pickle", "score", "nested.pickle: score: no array or tensor"},
        {"features-4.pkl", "train/raw_text/0", "raw_text/0: no array or tensor"},
        {"module.pt", "", "module.pt: the pickle asks for torch.nn.modules.linear.Linear"},
        {"expanded.pt", "a", "expanded.pt: "},
        {"none.pkl", "", "none.pkl"},
        {"none.pt", "", "none.pt"},
    };
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        char *path = text_format("%s%s", TORCH_DIR, cases[c].file);
        matrix_t m = {0};
        CHECK_FAILS(matrix_read(path, cases[c].dataset, &rules, &m), STATUS_INPUT, cases[c].why);
        assert_null(strchr(status_text(), '\n'));
        free(path);
    }
}

static void hostile_and_damaged_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *text;
        size_t bytes;
        const char *why;
    } cases[] = {
        {"call.pkl",
         WITH_BYTES("\x80\x02"
                    "cos\nsystem\n(U\x04truetR."),
         "call.pkl: the pickle asks for os.system"},
        {"far.pkl",
         WITH_BYTES("\x80\x02"
                    "ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\n"
                    "U\x01"
                    "0U\x03"
                    "cpuK\x02NtQK\x00K\x02\x85K\x01\x85tR."),
         "far.pkl: has its numbers in another file"},
        {"cut.pkl", WITH_BYTES("\x80\x02]q"), "cut.pkl: the pickle is damaged at byte"},
        {"old.pickle", WITH_BYTES("(lp0\n."), "another protocol than 2, 3, 4 or 5"},
        {"empty.pkl", WITH_BYTES(""), "empty.pkl: "},
        {"text.pt", WITH_BYTES("1,2\n"), "text.pt: no file of PyTorch"},
        {"zip.pt", WITH_BYTES("PK\3\4"), "zip.pt: "},
    };
    char *place = place_make();
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        char *path = place_path(place, cases[c].name);
        place_write(place, cases[c].name, cases[c].text, cases[c].bytes);
        matrix_t m = {0};
        CHECK_FAILS(matrix_read(path, "", &rules, &m), STATUS_INPUT, cases[c].why);
        free(path);
    }
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_tables),
        cmocka_unit_test(arrays_of_pickles_are_tables),
        cmocka_unit_test(a_path_goes_through_keys_and_indexes),
        cmocka_unit_test(a_manifest_lists_them),
        cmocka_unit_test(what_is_no_table_is_refused),
        cmocka_unit_test(hostile_and_damaged_files_are_refused),
    };
    return RUN_TESTS(tests);
}
