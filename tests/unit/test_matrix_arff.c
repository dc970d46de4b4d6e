/* ARFF as openSMILE, the AVEC challenges and Weka write it: which attributes are features, times
 * that tell the rate, and tables that are not so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

static char *arff(const char *place, const char *text) {
    char *path = place_path(place, "it.arff");
    place_text(place, "it.arff", text);
    return path;
}

static const char smile[] =
    "% openSMILE\r\n@relation 'a set'\r\n\r\n@attribute name string\r\n"
    "@attribute frameIndex numeric\r\n@ATTRIBUTE frameTime numeric\r\n@attribute 'F0 \\'x\\'' "
    "real\r\n@attribute loud\tnumeric\r\n@attribute class {a, 'b c'}\r\n@data\r\n"
    "'it, is',0,0.5,1.5, -2 ,a\r\n% nothing\r\n\r\n'it, is',1,0.6,?,1e3,'b c'\r\n"
    "'it, is',2,0.7,3,4,?\r\n";

static void what_opensmile_writes(void **state) {
    (void)state;
    char *place = place_make(), *path = arff(place, smile);
    matrix_rules_t rules = {-1, 0, false, 10.0};
    matrix_t m = {0};
    CHECK_OK(matrix_read(path, "", &rules, &m));
    assert_int_equal(m.rows, 3);
    assert_int_equal(m.columns, 2);
    assert_true(fabs(m.rate_hz - 10.0) < 1e-9 && m.start_s == 0.5);
    assert_true(m.values[0] == 1.5f && m.values[1] == -2.0f && m.values[3] == 1000.0f);
    assert_true(m.valid[0] && !m.valid[1] && m.valid[2]);
    matrix_free(&m);
    CHECK_OK(matrix_read(path, "F0 'x'", &rules, &m));
    assert_int_equal(m.columns, 1);
    assert_true(m.values[2] == 3.0f && m.rate_hz > 0.0);
    matrix_free(&m);
    CHECK_OK(matrix_read(path, "frameIndex", &rules, &m));
    assert_true(m.columns == 1 && m.values[2] == 2.0f);
    matrix_free(&m);
    rules.rate_hz = 25.0;
    CHECK_FAILS(matrix_read(path, "", &rules, &m), STATUS_INPUT,
                "10 rows a second, and rate_hz is");
    free(path);
    place_remove(place);
}

static void what_is_not_so_is_refused(void **state) {
    (void)state;
#define HEAD "@relation r\n@attribute x real\n@attribute c {a,b}\n"
    static const struct {
        const char *text, *dataset, *error;
    } cases[] = {
        {HEAD "@data\n1,a\n2\n", "", "it.arff:6: not a row of 2 values"},
        {HEAD "@data\n1,a,3\n", "", ":5: not a row of 2 values"},
        {HEAD "@data\n1,'a\n", "", ":5: not a row of 2 values"},
        {HEAD "@data\none,a\n", "", ":5: \"one\" is no number"},
        {HEAD "@data\n{0 1}\n", "", ":5: a sparse row"},
        {HEAD, "", "no line @data"},
        {HEAD "@data\n1,a\n", "c", ":3: the attribute that dataset names is no number"},
        {HEAD "@data\n1,a\n", "y", "no attribute of numbers called y"},
        {"@relation r\n@attribute c string\n@data\na\n", "", "no attribute of numbers"},
        {"@relation r\n@attribute x\n@data\n", "", ":2: not @attribute NAME TYPE"},
        {"x,y\n1,2\n", "", ":1: neither @relation"},
        {"@relation r\n@attribute time real\n@attribute x real\n@data\n0,1\n1,1\n3,1\n", "",
         "its times are not even"},
        {"@relation r\n@attribute time real\n@attribute x real\n@data\n0,1\n?,1\n2,1\n", "",
         "its times are not even"},
    };
    const matrix_rules_t rules = {-1, 0, false, 1.0};
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *path = arff(place, cases[i].text);
        matrix_t m = {0};
        CHECK_FAILS(matrix_read(path, cases[i].dataset, &rules, &m), STATUS_INPUT, cases[i].error);
        free(path);
        place_remove(place);
    }
    char *place = place_make(), *path = arff(place, HEAD "@data\n");
    matrix_t m = {0};
    CHECK_OK(matrix_read(path, "", &rules, &m));
    assert_true(m.rows == 0 && m.columns == 1);
    matrix_free(&m);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_opensmile_writes),
        cmocka_unit_test(what_is_not_so_is_refused),
    };
    return RUN_TESTS(tests);
}
