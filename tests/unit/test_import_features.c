/* A manifest of small files of every kind: what is read, number for number, and what is refused. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/h5_file.h"
#include "data-sharding/import.h"
#include "data-sharding/inspect.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

static const matrix_rules_t rules = {-1, 0};

#define HEADER "recording,subject,group,modality,rate_hz,path\n"

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
    place_text(place, "a.csv", "x,y\n1,2\n3,\n5,6\n");
    place_text(place, "y.csv", "frame,label\n1,0.25\n3,0.75\n"); /* no row of frame 0 */
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
    place_text(place, "manifest.csv",
               "recording,subject,group,modality,rate_hz,path,dataset\n"
               "r1,Ann,g,label:y,1,y.csv,\nr1,Ann,g,a,1,a.csv,\nr1,Ann,g,b,2,b.npy,\n"
               "r1,Ann,g,c,0.5,c.h5,deep/c\n");
    assert_string_equal(import_recognise(place), "features");
    static const char *const sets[] = {"first_frame=0"};
    CHECK_OK(import_run("features", place, path, sets, 1));
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
    CHECK_OK(matrix_read(path, "", &rules, &m));
    assert_true(m.rows == 3 && m.columns == 2 && m.values[1] == -2.0f && m.values[5] == -600.0f);
    matrix_free(&m);
    free(path);
    place_remove(place);
}

static void every_type_of_numpy_is_read(void **state) {
    (void)state;
    static const struct {
        const char *type;
        char bytes[16]; /* two numbers */
        float want[2];
    } cases[] = {
        {"|b1", "\0\1", {0, 1}},
        {"<u2", "\1\0\377\377", {1, 65535}},
        {">u2", "\0\1\1\0", {1, 256}},
        {"<u4", "\1\0\0\0\0\0\0\200", {1, 2147483648.0f}},
        {"<u8", "\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\200", {2, 9223372036854775808.0f}},
        {">i4", "\377\377\377\376\0\0\1\0", {-2, 256}},
        {">f4", "\77\200\0\0\300\0\0\0", {1, -2}},
        {">f8", "\77\360\0\0\0\0\0\0\300\0\0\0\0\0\0\0", {1, -2}},
        {">f2", "\74\0\300\0", {1, -2}},
        {"|i1", "\377\2", {-1, 2}},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *path = place_path(place, "x.npy");
        char *dictionary =
            text_format("{'descr': '%s', 'fortran_order': False, 'shape': (2,), }", cases[i].type);
        write_npy(place, "x.npy", dictionary, cases[i].bytes, 2 * (size_t)(cases[i].type[2] - '0'));
        matrix_t m;
        CHECK_OK(matrix_read(path, "", &rules, &m));
        assert_true(m.values[0] == cases[i].want[0] && m.values[1] == cases[i].want[1]);
        matrix_free(&m);
        free(dictionary);
        free(path);
        place_remove(place);
    }
}

/* What the first row of a CSV is; nothing is guessed that would shift every row. */
static void first_rows_are_names_or_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text, *refused[3]; /* with header -1, 0 and 1 */
        int rows[3];
    } cases[] = {
        {"x,y\n1,2\n", {0}, {1, 1, 1}},
        {"5,6\n1,2\n", {0}, {2, 2, 2}},
        {"0.0,1.0\n1,2\n", {0}, {2, 2, 2}},
        {",0.5\n1,2\n", {0}, {2, 2, 2}}, /* a gap */
        {"\"x\",\"y\"\r\n1,2\r\n", {0}, {1, 1, 1}},
        {"0,1\n5,6\n", {"it.csv:1: the first row reads 0,1,2,..."}, {0, 2, 1}},
        {"0\n1\n1\n", {"it.csv:1: the first row reads 0,1,2,..."}, {0, 3, 2}},
        {",0,1\n0,5,6\n",
         {"--set header=1 (names) or --set header=0 (numbers)", NULL, "to_csv(index=False)"},
         {0, 2, 0}},
        {",x,y\n0,5,6\n",
         {"it.csv:1: the first column has no name", "has no name", "has no name"},
         {0, 0, 0}},
        {"Unnamed: 0,x\n0,5\n", {"index=False", "index=False", "index=False"}, {0, 0, 0}},
        {"x,,y\n0,5,6\n",
         {"it.csv:1: column 2 has no name; name", "no name", "no name"},
         {0, 0, 0}},
        {"na1,1\n2,3\n",
         {"it.csv:1: the first row has names and numbers", "column 1 is \"na1\""},
         {0, 0, 1}},
        {"NA,1\n2,3\n", {0}, {2, 2, 2}}, /* a missing value is no name */
        {"NA,NA\n2,3\n", {0}, {2, 2, 2}},
        {"null\n2\n3\n", {0}, {3, 3, 3}},
        {" None ,N/A\n2,3\n", {0}, {2, 2, 2}},
        {"nan,<NA>\n2,3\n", {0}, {2, 2, 2}},
        {"-nan,NULL\n2,3\n", {0}, {2, 2, 2}},
        {"x,Na\n2,3\n",
         {"it.csv:1: the first row has names and numbers", "column 1 is \"x\""},
         {0, 0, 1}},
        {"frame,NA\n0,3\n", {0}, {1, 1, 1}},
        {"x,frame\n5,0\n6,1\n",
         {"it.csv:1: column 2 is called frame", "put it first", "put it first"},
         {0, 0, 0}},
        {"frame\n0\n1\n", {"no column but frame", "no column", "no column"}, {0, 0, 0}},
        {"frame,x\n0,5\n2,6\n", {0}, {3, 3, 3}},
        {" Frame , x\n0, 5\n2, 6\n", {0}, {3, 3, 3}},
        {"FRAME,0,1\n0,5,5\n2,6,6\n", {0}, {3, 3, 3}},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *path = place_path(place, "it.csv");
        place_text(place, "it.csv", cases[i].text);
        for (int header = -1; header <= 1; header++) {
            const matrix_rules_t rule = {header, 0};
            const char *refused = cases[i].refused[header < 0 ? 0 : header == 0 ? 1 : 2];
            int rows = cases[i].rows[header < 0 ? 0 : header == 0 ? 1 : 2];
            matrix_t m;
            if (refused != NULL) {
                CHECK_FAILS(matrix_read(path, "", &rule, &m), STATUS_INPUT, refused);
                continue;
            }
            CHECK_OK(matrix_read(path, "", &rule, &m));
            assert_int_equal(m.rows, rows);
            matrix_free(&m);
        }
        free(path);
        place_remove(place);
    }
}

/* Imports two recordings of one modality "m" and looks at steps, and at the error if one is due. */
static void import_two(const char *first, const char *second, const char *set, const char *error,
                       int64_t steps) {
    char *place = place_make(), *path = place_path(place, "data");
    place_text(place, "1.csv", first);
    place_text(place, "2.csv", second);
    place_text(place, "y.npy", "");
    static const double labels[2] = {0.5, 0.25};
    write_npy(place, "y.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", labels,
              sizeof labels);
    place_text(place, "manifest.csv",
               HEADER
               "r,s,,m,1,1.csv\nr,s,,label:y,1,y.npy\nq,s,,m,1,2.csv\nq,s,,label:y,1,y.npy\n");
    const char *const sets[] = {set};
    status_t status = import_run("features", place, path, sets, set != NULL);
    if (error != NULL) {
        CHECK_FAILS(status, STATUS_INPUT, error);
    } else {
        CHECK_OK(status);
        char *json = NULL, *wanted = text_format("\"steps\": %lld,", (long long)steps);
        dataset_config_t config = inspect_defaults(path);
        CHECK_OK(inspect_dataset(&config, &json));
        const char *m = strstr(json, "\"m\": {");
        assert_non_null(m);
        assert_non_null(strstr(m, wanted));
        assert_true(strstr(m, wanted) < strchr(m, '}'));
        free(wanted);
        free(json);
    }
    free(path);
    place_remove(place);
}

static void files_of_a_modality_agree(void **state) {
    (void)state;
    import_two("x,y\n1,2\n", "x,y\n3,4\n", NULL, NULL, 2);
    import_two("x,y\n1,2\n", " x , y \n3,4\n", NULL, NULL, 2);
    import_two("x,y\n1,2\n", "frame,x,y\n0,3,4\n", NULL, NULL, 2);
    import_two("x,y\n1,2\n", "y,x\n3,4\n", NULL,
               "manifest.csv:4: 2.csv has the column \"y\" where 1.csv has \"x\" (number 1); write",
               0);
    import_two("x,y\n1,2\n", "frame,x\n0,4\n", NULL,
               "manifest.csv:4: 2.csv has 1 columns, but 1.csv has 2; files of", 0);
    import_two("5,6\n1,2\n", "5,6,7\n3,4,5\n", NULL, "manifest.csv:4: 2.csv has 3 columns", 0);
    /* no detections: as if there were no file */
    import_two("x,y\n1,2\n", "x,y\n", NULL, NULL, 1);
    import_two("frame,x\n", "frame,x\n0,1\n3,1\n", NULL, NULL, 4);
}

static void frames_count_from_0_or_as_said(void **state) {
    (void)state;
    import_two("frame,x\n0,1\n2,2\n", "frame,x\n1,1\n2,2\n", NULL, NULL, 6);
    static const char ask[] =
        "manifest.csv:2: the frames of 1.csv begin at 1, and no m has frame 0; "
        "say how they count by --set first_frame=1";
    import_two("frame,x\n1,1\n2,2\n", "frame,x\n1,1\n2,2\n", NULL, ask, 0);
    import_two("frame,x\n1,1\n2,2\n", "frame,x\n4,1\n5,2\n", NULL, ask, 0);
    import_two("frame,x\n1,1\n2,2\n", "frame,x\n1,1\n2,2\n", "first_frame=1", NULL, 4);
    import_two("frame,x\n1,1\n2,2\n", "frame,x\n1,1\n2,2\n", "first_frame=0", NULL, 6);
    /* frame 0 is there, so it is the first, whatever is said */
    import_two("frame,x\n0,1\n2,2\n", "frame,x\n1,1\n2,2\n", "first_frame=1", NULL, 6);
}

static void words_for_a_missing_value_are_gaps(void **state) {
    (void)state;
    static const char *const words[] = {"",     "NA",   "n/a",  "#N/A", "<NA>", "nan",
                                        "-NaN", "null", "NULL", "None", " NA "};
    char *place = place_make(), *path = place_path(place, "x.csv");
    for (int w = 0; w < ARRAY_LEN(words); w++) {
        char *text = text_format("%s,1\n2,3\n4,%s\n", words[w], words[w]);
        place_text(place, "x.csv", text);
        matrix_t m;
        CHECK_OK(matrix_read(path, "", &rules, &m));
        assert_true(m.rows == 3 && m.valid[0] == 0 && m.valid[1] == 1 && m.valid[2] == 0);
        assert_true(m.values[0] == 0.0f && m.values[1] == 1.0f && m.values[5] == 0.0f);
        matrix_free(&m);
        free(text);
    }
    free(path);
    place_remove(place);
}

static void what_float_cannot_hold_is_a_gap(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "x.csv");
    place_text(place, "x.csv", "1,2\n1e39,3\n4,-1e300\n");
    matrix_t m;
    CHECK_OK(matrix_read(path, "", &rules, &m));
    assert_true(m.rows == 3 && m.valid[0] == 1 && m.valid[1] == 0 && m.valid[2] == 0);
    matrix_free(&m);
    free(path);
    place_remove(place);
}

static void write_broken_files(const char *place) {
    place_text(place, "wide.csv", "1,2\n1,2,3\n");
    place_text(place, "word.csv", "1,2\n1,x\n");
    place_text(place, "back.csv", "frame,x\n0,1\n2,1\n1,1\n3,1\n");
    place_text(place, "far.csv", "frame,x\n0,1\n9223372036854775807,1\n");
    place_text(place, "text.npy", "no numbers here");
    place_text(place, "empty.csv", "");
    place_text(place, "head.csv", "x,y\n");
    write_npy(place, "cut.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }",
              doubles, sizeof doubles);
    write_npy(place, "order.npy", "{'descr': '<f8', 'fortran_order': Maybe, 'shape': (2, 2), }",
              doubles, sizeof doubles);
    write_npy(place, "complex.npy", "{'descr': '<c8', 'fortran_order': False, 'shape': (4,), }",
              doubles, sizeof doubles);
    write_npy(place, "cube.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2, 1), }",
              doubles, sizeof doubles);
}

static void broken_manifests_and_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *manifest, *error;
    } cases[] = {
        {"recording,subject\nr,s\n", "path[,dataset]; write it so"},
        {HEADER, "no rows below the header"},
        {HEADER "r,s,g,a,0,a.csv\n", "manifest.csv:2: rate_hz must be above 0"},
        {HEADER "r,s,g,a,x,a.csv\n", "manifest.csv:2: column 5 is \"x\""},
        {HEADER "r,,g,a,1,a.csv\n", "manifest.csv:2: recording, subject and path must be given"},
        {HEADER "r,s,g,a,1\n", "manifest.csv:2: another number of fields"},
        {HEADER "r,s,g,a,1,a.csv\nr,t,g,b,1,b.npy\n",
         "manifest.csv:3: the recording has another subject or group above; give"},
        {HEADER "r,s,g,a,1,a.csv\nr,s,g,a,1,a.csv\n", "manifest.csv:3: the recording has this"},
        {HEADER "r,s,g,a,1,a.csv\nq,s,g,a,1,b.npy\n",
         "manifest.csv:3: b.npy has 1 columns, but a.csv has 2; files of"},
        {HEADER "r,s,g,label:y,1,a.csv\n",
         "manifest.csv:2: a.csv has 2 columns, but a label has one; give"},
        {HEADER "r,s,g,a,1,none.csv\n", "manifest.csv:2: cannot open "},
        {HEADER "r,s,g,a,1,none.csv\n", "none.csv: No such file or directory; check the path"},
        {HEADER "r,s,g,a,1,a.txt\n", "a.txt: unknown kind of file; use .csv"},
        {HEADER "r,s,g,a,1,c.h5\n", "which dataset?"},
        {HEADER "r,s,g,a,1,wide.csv\n", "wide.csv:2: 3 fields, expected 2; repair the row"},
        {HEADER "r,s,g,a,1,word.csv\n", "word.csv:2: column 2 is \"x\""},
        {HEADER "r,s,g,a,1,back.csv\n", "back.csv:4: frame 1 does not follow 2"},
        {HEADER "r,s,g,a,1,far.csv\n", "far.csv:3: frame 9223372036854775807 in a file of 2 rows"},
        {HEADER "r,s,g,a,1,cut.npy\n", "cut.npy: its length does not fit"},
        {HEADER "r,s,g,a,1,order.npy\n", "order.npy: unknown type, order or shape"},
        {HEADER "r,s,g,a,1,far.csv\n", "manifest.csv:2: /"},
        {HEADER "r,s,g,a,1,text.npy\n", "manifest.csv:2: /"},
        {HEADER "r,s,g,a,1,complex.npy\n",
         "complex.npy: unknown type, order or shape; save one or"},
        {HEADER "r,s,g,a,1,empty.csv\n", "empty.csv: is empty; write a header, or take its row"},
        {HEADER "r,s,g,a,1,head.csv\n", "manifest.csv:2: recording \"r\" has no steps; leave it"},
        {HEADER "r,s,g,a,1,cube.npy\n", "cube.npy: unknown type, order or shape"},
        {HEADER "r,s,g,a,1,text.npy\n", "text.npy: not an .npy file"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_files(place);
        place_text(place, "manifest.csv", cases[i].manifest);
        write_broken_files(place);
        import_refused("features", place, cases[i].error);
        place_remove(place);
    }
    char *place = place_make(), *path = place_path(place, "c.h5"),
         *text = place_path(place, "t.h5");
    matrix_t m;
    write_files(place);
    place_text(place, "t.h5", "no HDF5");
    CHECK_FAILS(matrix_read(path, "none", &rules, &m), STATUS_INPUT, "c.h5: no dataset none");
    CHECK_FAILS(matrix_read(text, "x", &rules, &m), STATUS_INPUT, "t.h5: not an HDF5 file");
    free(text);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_file_is_read),
        cmocka_unit_test(integers_become_numbers),
        cmocka_unit_test(every_type_of_numpy_is_read),
        cmocka_unit_test(first_rows_are_names_or_numbers),
        cmocka_unit_test(files_of_a_modality_agree),
        cmocka_unit_test(frames_count_from_0_or_as_said),
        cmocka_unit_test(words_for_a_missing_value_are_gaps),
        cmocka_unit_test(what_float_cannot_hold_is_a_gap),
        cmocka_unit_test(broken_manifests_and_files_are_named),
    };
    return RUN_TESTS(tests);
}
