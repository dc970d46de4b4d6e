/* .csd of the CMU-MultimodalSDK: rows of any length brought to even steps by their intervals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "data-sharding/h5_file.h"
#include "data-sharding/import.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

/* Words of half a second and a second, a gap, and one that overlaps. */
static const float intervals[] = {1.0f, 1.5f, 0.0f, 0.5f, 0.5f, 1.0f, 2.5f, 3.0f, 2.75f, 3.25f};
static const float features[] = {3, 30, 1, 10, 2, 20, 4, NAN, 5, 50};
enum { ROWS = 5 };

static char *csd(const char *place, const char *id, int64_t rows, const float *spans, bool two) {
    char *path = place_path(place, "words.csd");
    h5_file_t *file = NULL;
    CHECK_OK(h5_create(path, &file));
    CHECK_OK(h5_put_group(file, "words"));
    CHECK_OK(h5_put_group(file, "words/data"));
    if (two) {
        CHECK_OK(h5_put_group(file, "faces"));
    }
    char *group = text_format("words/data/%s", id), *values = text_format("%s/features", group);
    char *times = text_format("%s/intervals", group);
    CHECK_OK(h5_put_group(file, group));
    CHECK_OK(h5_put_array(file, values, ARRAY_FLOAT32, rows, 2, features));
    CHECK_OK(h5_put_array(file, times, ARRAY_FLOAT32, ROWS, 2, spans));
    CHECK_OK(h5_close(file));
    free(times);
    free(values);
    free(group);
    return path;
}

static void rows_are_laid_out_by_their_times(void **state) {
    (void)state;
    /* at 4 Hz: 0 0.25 | 0.5 0.75 | 1 1.25 | gap 1.5 to 2.25 | 2.5 (not finite) | 2.75 3 */
    static const float wanted[] = {1, 1, 2, 2, 3, 3, 0, 0, 0, 0, 4, 5, 5};
    for (int two = 0; two < 2; two++) {
        char *place = place_make(), *path = csd(place, "_dI--eQ6qVU[3]", ROWS, intervals, two);
        matrix_rules_t rules = {-1, 0, false, 4.0};
        matrix_t m = {0};
        const char *name = two ? "words/data/_dI--eQ6qVU[3]" : "_dI--eQ6qVU[3]";
        CHECK_OK(matrix_read(path, name, &rules, &m));
        assert_int_equal(m.rows, ARRAY_LEN(wanted));
        assert_int_equal(m.columns, 2);
        for (int64_t i = 0; i < m.rows; i++) {
            assert_int_equal(m.valid[i], wanted[i] != 0.0f && wanted[i] != 4.0f);
            assert_true(m.values[2 * i] == wanted[i]);
        }
        assert_true(m.rate_hz == 0.0); /* that of the manifest */
        matrix_free(&m);
        if (two) {
            CHECK_FAILS(matrix_read(path, "_dI--eQ6qVU[3]", &rules, &m), STATUS_INPUT,
                        "2 things at its top instead of one");
        }
        free(path);
        place_remove(place);
    }
}

static void what_is_not_so_is_refused(void **state) {
    (void)state;
    static const float odd[][2 * ROWS] = {{0, 1, 2, 1, 3, 4, 5, 6, 7, 8},
                                          {-1, 1, 2, 3, 3, 4, 5, 6, 7, 8},
                                          {0, NAN, 2, 3, 3, 4, 5, 6, 7, 8},
                                          {0, 1e30f, 2, 3, 3, 4, 5, 6, 7, 8}};
    matrix_rules_t rules = {-1, 0, false, 4.0};
    matrix_t m = {0};
    for (int i = 0; i < ARRAY_LEN(odd); i++) {
        char *place = place_make(), *path = csd(place, "v", ROWS, odd[i], false);
        CHECK_FAILS(matrix_read(path, "v", &rules, &m), STATUS_INPUT,
                    "words/data/v/intervals: row");
        free(path);
        place_remove(place);
    }
    char *place = place_make(), *path = csd(place, "v", ROWS - 1, intervals, false);
    CHECK_FAILS(matrix_read(path, "v", &rules, &m), STATUS_INPUT,
                "has 4 rows and 5 intervals of 2");
    CHECK_FAILS(matrix_read(path, "w", &rules, &m), STATUS_INPUT,
                "no dataset words/data/w/features");
    CHECK_FAILS(matrix_read(path, "", &rules, &m), STATUS_INPUT, "which sequence");
    rules.rate_hz = 0.0;
    CHECK_FAILS(matrix_read(path, "v", &rules, &m), STATUS_INPUT, "give rate_hz");
    place_text(place, "words.csd", "no HDF5");
    CHECK_FAILS(matrix_read(path, "v", &rules, &m), STATUS_INPUT, "give rate_hz");
    rules.rate_hz = 4.0;
    CHECK_FAILS(matrix_read(path, "v", &rules, &m), STATUS_INPUT, "not an HDF5 file");
    free(path);
    place_remove(place);
}

/* By a manifest, whose rate lays the rows out; its label is an attribute of an ARFF file. */
static void a_manifest_names_them(void **state) {
    (void)state;
    char *place = place_make(), *made = csd(place, "v", ROWS, intervals, false);
    char *path = place_path(place, "data");
    place_text(place, "y.arff",
               "@relation r\n@attribute name string\n@attribute time real\n@attribute y real\n"
               "@attribute z real\n@data\na,0.5,0.25,7\na,1,0.5,7\na,1.5,0.75,7\n");
    place_text(place, "manifest.csv",
               "recording,subject,group,modality,rate_hz,path,dataset\n"
               "r,Ann,,words,4,words.csd,v\nr,Ann,,label:y,2,y.arff,y\n");
    CHECK_OK(import_run("features", place, path, NULL, 0));
    static const char *const modalities[] = {"words"}, *const targets[] = {"y"};
    dataset_config_t config = {.path = path,
                               .window = 4,
                               .modalities = modalities,
                               .modality_count = 1,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    float words[4][2], y[4], *signals[] = {words[0]}, *labels[] = {y};
    uint8_t mask[4], *masks[] = {mask};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 0, signals, masks, labels));
    /* the labels' clock: 0.5, 1 and 1.5 s */
    assert_true(words[0][0] == 2.0f && words[1][0] == 3.0f && words[1][1] == 30.0f);
    assert_true(mask[0] && mask[1] && !mask[2]);
    assert_true(y[0] == 0.25f && y[1] == 0.5f && y[2] == 0.75f);
    dataset_close(dataset);
    free(path);
    free(made);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_names_them),
        cmocka_unit_test(rows_are_laid_out_by_their_times),
        cmocka_unit_test(what_is_not_so_is_refused),
    };
    return RUN_TESTS(tests);
}
