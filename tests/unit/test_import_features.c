/* A manifest of small files of every kind: what is read, number for number, and what is refused. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/h5_file.h"
#include "data-sharding/import.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

#define HEADER "recording,subject,group,modality,rate_hz,path\n"

static void write_text(const char *place, const char *name, const char *text) {
    place_write(place, name, text, strlen(text));
}

/* As numpy.save writes version 1.0: magic, length, dictionary, numbers. */
static void write_npy(const char *place, const char *name, const char *dictionary,
                      const void *numbers, size_t bytes) {
    char file[512] = "\x93NUMPY\x01";
    size_t length = strlen(dictionary);
    file[8] = (char)length;
    memcpy(file + 10, dictionary, length);
    memcpy(file + 10 + length, numbers, bytes);
    place_write(place, name, file, 10 + length + bytes);
}

static const double doubles[4] = {0.5, NAN, 2.5, 3.5};

static void write_files(const char *place) {
    write_text(place, "a.csv", "x,y\n1,2\n3,\n5,6\n");
    write_text(place, "y.csv", "frame,label\n1,0.25\n3,0.75\n");
    write_npy(place, "b.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }", doubles,
              sizeof doubles);
    static const float floats[2][2] = {{7, 8}, {9, 10}};
    char *path = place_path(place, "c.h5");
    h5_file_t *file;
    CHECK_OK(h5_create(path, &file));
    CHECK_OK(h5_put_group(file, "deep"));
    CHECK_OK(h5_put_array(file, "deep/c", ARRAY_FLOAT32, 2, 2, floats));
    CHECK_OK(h5_close(file));
    free(path);
}

static void every_kind_of_file_is_read(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "data");
    write_files(place);
    write_text(place, "manifest.csv",
               "recording,subject,group,modality,rate_hz,path,dataset\n"
               "r1,Ann,g,label:y,1,y.csv,\nr1,Ann,g,a,1,a.csv,\nr1,Ann,g,b,2,b.npy,\n"
               "r1,Ann,g,c,0.5,c.h5,deep/c\n");
    assert_string_equal(import_recognise(place), "features");
    CHECK_OK(import_run("features", place, path, NULL, 0));
    static const char *const modalities[] = {"a", "b", "c"}, *const targets[] = {"y"};
    dataset_config_t config = {.path = path,
                               .window = 4,
                               .modalities = modalities,
                               .modality_count = 3,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    float a[8], b[4], c[8], y[4];
    uint8_t masks[3][4];
    float *const features[] = {a, b, c}, *const target[] = {y};
    uint8_t *const mask[] = {masks[0], masks[1], masks[2]};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 0, features, mask, target));
    static const uint8_t want[3][4] = {{1, 0, 1, 0}, {1, 1, 0, 0}, {1, 1, 1, 1}};
    assert_memory_equal(masks, want, sizeof want);
    assert_true(a[0] == 1.0f && a[1] == 2.0f && a[2] == 0.0f && a[5] == 6.0f);
    assert_true(b[0] == 0.5f && b[1] == 2.5f);
    assert_true(c[0] == 7.0f && c[3] == 8.0f && c[4] == 9.0f && c[7] == 10.0f);
    assert_true(isnan(y[0]) && y[1] == 0.25f && isnan(y[2]) && y[3] == 0.75f);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void integers_become_numbers(void **state) {
    (void)state;
    static const int16_t numbers[6] = {1, -2, 3, 4, 5, -600};
    char *place = place_make(), *path = place_path(place, "i.npy");
    write_npy(place, "i.npy", "{'descr': '<i2', 'fortran_order': False, 'shape': (3, 2), }",
              numbers, sizeof numbers);
    matrix_t m;
    CHECK_OK(matrix_read(path, "", &m));
    assert_true(m.rows == 3 && m.columns == 2 && m.values[1] == -2.0f && m.values[5] == -600.0f);
    matrix_free(&m);
    free(path);
    place_remove(place);
}

static void what_float_cannot_hold_is_a_gap(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "x.csv");
    write_text(place, "x.csv", "1,2\n1e39,3\n4,-1e300\n");
    matrix_t m;
    CHECK_OK(matrix_read(path, "", &m));
    assert_true(m.rows == 3 && m.valid[0] == 1 && m.valid[1] == 0 && m.valid[2] == 0);
    matrix_free(&m);
    free(path);
    place_remove(place);
}

static void broken_manifests_and_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *manifest, *error;
    } cases[] = {
        {"recording,subject\nr,s\n", "manifest.csv:1: the header must be"},
        {HEADER, "no rows below the header"},
        {HEADER "r,s,g,a,0,a.csv\n", "manifest.csv:2: rate_hz must be above 0"},
        {HEADER "r,s,g,a,x,a.csv\n", "manifest.csv:2: column 5 is \"x\""},
        {HEADER "r,,g,a,1,a.csv\n", "manifest.csv:2: recording, subject and path must be given"},
        {HEADER "r,s,g,a,1\n", "manifest.csv:2: another number of fields"},
        {HEADER "r,s,g,a,1,a.csv\nr,t,g,b,1,b.npy\n", "manifest.csv:3: the recording has another"},
        {HEADER "r,s,g,a,1,a.csv\nr,s,g,a,1,a.csv\n", "manifest.csv:3: the recording has this"},
        {HEADER "r,s,g,a,1,a.csv\nq,s,g,a,1,b.npy\n", "manifest.csv:3: b.npy has 1 columns"},
        {HEADER "r,s,g,label:y,1,a.csv\n", "target \"y\" with 2 features"},
        {HEADER "r,s,g,a,1,none.csv\n", "none.csv"},
        {HEADER "r,s,g,a,1,a.txt\n", "a.txt: unknown kind of file"},
        {HEADER "r,s,g,a,1,c.h5\n", "which dataset?"},
        {HEADER "r,s,g,a,1,wide.csv\n", "wide.csv:2: 3 fields, expected 2"},
        {HEADER "r,s,g,a,1,word.csv\n", "word.csv:2: column 2 is \"x\""},
        {HEADER "r,s,g,a,1,back.csv\n", "back.csv:3: frame 1 does not follow 2"},
        {HEADER "r,s,g,a,1,far.csv\n", "far.csv:3: frame 9223372036854775807 in a file of 2 rows"},
        {HEADER "r,s,g,a,1,cut.npy\n", "cut.npy: its length does not fit"},
        {HEADER "r,s,g,a,1,order.npy\n", "order.npy: unknown type, order or shape"},
        {HEADER "r,s,g,a,1,big.npy\n", "big.npy: unknown type, order or shape"},
        {HEADER "r,s,g,a,1,cube.npy\n", "cube.npy: unknown type, order or shape"},
        {HEADER "r,s,g,a,1,text.npy\n", "text.npy: not an .npy file"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *path = place_path(place, "data");
        write_files(place);
        write_text(place, "manifest.csv", cases[i].manifest);
        write_text(place, "wide.csv", "1,2\n1,2,3\n");
        write_text(place, "word.csv", "1,2\n1,x\n");
        write_text(place, "back.csv", "frame,x\n2,1\n1,1\n3,1\n");
        write_text(place, "far.csv", "frame,x\n1,1\n9223372036854775807,1\n");
        write_text(place, "text.npy", "no numbers here");
        write_npy(place, "cut.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }",
                  doubles, sizeof doubles);
        write_npy(place, "order.npy", "{'descr': '<f8', 'fortran_order': Maybe, 'shape': (2, 2), }",
                  doubles, sizeof doubles);
        write_npy(place, "big.npy", "{'descr': '>f8', 'fortran_order': False, 'shape': (4,), }",
                  doubles, sizeof doubles);
        write_npy(place, "cube.npy",
                  "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2, 1), }", doubles,
                  sizeof doubles);
        CHECK_FAILS(import_run("features", place, path, NULL, 0), STATUS_INPUT, cases[i].error);
        assert_false(dir_exists(path));
        free(path);
        place_remove(place);
    }
    char *place = place_make(), *path = place_path(place, "c.h5"),
         *text = place_path(place, "t.h5");
    matrix_t m;
    write_files(place);
    write_text(place, "t.h5", "no HDF5");
    CHECK_FAILS(matrix_read(path, "none", &m), STATUS_INPUT, "c.h5: no dataset none");
    CHECK_FAILS(matrix_read(text, "x", &m), STATUS_INPUT, "t.h5: not an HDF5 file");
    free(text);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_file_is_read),
        cmocka_unit_test(integers_become_numbers),
        cmocka_unit_test(what_float_cannot_hold_is_a_gap),
        cmocka_unit_test(broken_manifests_and_files_are_named),
    };
    return RUN_TESTS(tests);
}
