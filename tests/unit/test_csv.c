/* Comma-separated values as they come, and errors with file and line. */
#include <string.h>

#include "check.h"
#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

static status_t open_text(const char *place, const char *name, const char *text, csv_t *csv) {
    place_text(place, name, text);
    char *path = place_path(place, name);
    status_t status = csv_open(path, csv);
    free(path);
    return status;
}

static void cells_are_read(void **state) {
    (void)state;
    char *place = place_make();
    csv_t csv;
    CHECK_OK(open_text(place, "good.csv",
                       "\xEF\xBB\xBF"
                       "a,\"b \"\"c\"\", d\",3\r\n\r\n\"two\nlines\",x,-1.5e1\n,,\"\"",
                       &csv));
    assert_int_equal(csv.row_count, 3);
    static const char *const want[3][3] = {
        {"a", "b \"c\", d", "3"}, {"two\nlines", "x", "-1.5e1"}, {"", "", ""}};
    static const int64_t lines[3] = {1, 3, 5};
    for (int r = 0; r < 3; r++) {
        assert_int_equal(csv.rows[r].count, 3);
        assert_int_equal(csv.rows[r].line, lines[r]);
        for (int c = 0; c < 3; c++) {
            const char *text;
            CHECK_OK(csv_text(&csv, r, c, &text));
            assert_string_equal(text, want[r][c]);
        }
    }
    double number = 0.0;
    CHECK_OK(csv_number(&csv, 1, 2, &number));
    assert_true(number == -15.0);
    int64_t whole = 0;
    CHECK_OK(csv_integer(&csv, 0, 2, &whole));
    assert_int_equal(whole, 3);
    csv_close(&csv);
    /* One column: an empty line is an empty cell, or every later step would move up. */
    CHECK_OK(open_text(place, "narrow.csv", "\n0\n\n1\n\"\"\n2\n\n\n", &csv));
    static const char *const column[] = {"0", "", "1", "", "2"};
    assert_int_equal(csv.row_count, 5);
    for (int r = 0; r < 5; r++) {
        assert_string_equal(csv.rows[r].fields[0], column[r]);
    }
    assert_int_equal(csv.rows[1].line, 3);
    csv_close(&csv);
    CHECK_OK(open_text(place, "empty.csv", "", &csv));
    assert_int_equal(csv.row_count, 0);
    csv_close(&csv);
    place_remove(place);
}

static void written_fields_come_back(void **state) {
    (void)state;
    static const char *const fields[] = {"plain",        "",   "a,b", "say \"x\"",
                                         "two\nlines\r", "\"", "z"};
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    for (int i = 0; i < ARRAY_LEN(fields); i++) {
        csv_write_field(file, fields[i]);
        fputc(i + 1 < ARRAY_LEN(fields) ? ',' : '\n', file);
    }
    fclose(file);
    assert_memory_equal(text, "plain,,\"a,b\",\"say \"\"x\"\"\",", 25);
    csv_t csv;
    CHECK_OK(csv_parse("t", text, bytes, &csv));
    assert_int_equal(csv.row_count, 1);
    assert_int_equal(csv.rows[0].count, ARRAY_LEN(fields));
    for (int i = 0; i < ARRAY_LEN(fields); i++) {
        assert_string_equal(csv.rows[0].fields[i], fields[i]);
    }
    csv_close(&csv);
}

static void wrong_cells_are_named(void **state) {
    (void)state;
    char *place = place_make();
    csv_t csv;
    CHECK_OK(
        open_text(place, "x.csv", "1,word\n\n,nan\n1e999,2.5,99999999999999999999\n7 ,1\n", &csv));
    double number;
    int64_t whole;
    const char *text;
    CHECK_FAILS(csv_text(&csv, 0, 2, &text), STATUS_INPUT,
                "x.csv:1: 2 fields, column 3 is missing");
    CHECK_FAILS(csv_number(&csv, 0, 1, &number), STATUS_INPUT, "x.csv:1: column 2 is \"word\"");
    CHECK_FAILS(csv_number(&csv, 1, 0, &number), STATUS_INPUT, "x.csv:3: column 1 is \"\"");
    CHECK_FAILS(csv_number(&csv, 1, 1, &number), STATUS_INPUT, "x.csv:3: column 2 is \"nan\"");
    CHECK_FAILS(csv_number(&csv, 2, 0, &number), STATUS_INPUT, "x.csv:4: column 1 is \"1e999\"");
    CHECK_FAILS(csv_integer(&csv, 2, 1, &whole), STATUS_INPUT, "x.csv:4: column 2 is \"2.5\"");
    CHECK_FAILS(csv_integer(&csv, 2, 2, &whole), STATUS_INPUT, "not a whole number");
    CHECK_FAILS(csv_number(&csv, 3, 0, &number), STATUS_INPUT, "x.csv:5: column 1 is \"7 \"");
    csv_close(&csv);
    place_remove(place);
}

static void broken_files_are_refused_by_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"1,2\n3,\"4\n5,6\n", "bad.csv:2: a quoted field does not end"},
        {"1,2\n\n\"1\"x,2\n", "bad.csv:3: text after a closing quote"},
        {"\"a\nb\"\n\"c\" ,d\n", "bad.csv:3: text after a closing quote"},
    };
    char *place = place_make();
    csv_t csv;
    for (int i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK_FAILS(open_text(place, "bad.csv", bad[i].text, &csv), STATUS_INPUT, bad[i].error);
    }
    place_write(place, "nul.csv", "1,2\0,3\n", 7);
    char *path = place_path(place, "nul.csv"), *missing = place_path(place, "missing.csv");
    CHECK_FAILS(csv_open(path, &csv), STATUS_INPUT, "holds NUL bytes");
    CHECK_FAILS(csv_open(missing, &csv), STATUS_INPUT, "missing.csv");
    free(missing);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_read),
        cmocka_unit_test(written_fields_come_back),
        cmocka_unit_test(wrong_cells_are_named),
        cmocka_unit_test(broken_files_are_refused_by_line),
    };
    return RUN_TESTS(tests);
}
