/* Part A of BioVid in full: as many people and samples as the publications count (jmt.md 3.3). */
#include "check.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"
#include "unit/raw_import.h"

enum { PART_A_PEOPLE = 87, HARDLY = 20, PART_A_PER_CLASS = 20 };
static const char *const pains[RAW_CLASSES] = {"BL1", "PA1", "PA2", "PA3", "PA4"};
/* Who hardly reacts, as publications name them (jmt.md 3.3). */
static const char *const hardly[HARDLY] = {
    "082315_w_60", "082414_m_64", "082909_m_47", "083009_w_42", "083013_w_47",
    "083109_m_60", "083114_w_55", "091914_m_46", "092009_m_54", "092014_m_56",
    "092509_w_51", "092714_m_64", "100514_w_51", "100914_m_39", "101114_w_37",
    "101209_w_61", "101809_m_59", "101916_m_40", "111313_m_64", "120614_w_61"};

/* Signals of a few rows for as many people and samples as part A has. */
static void write_part_a(const char *source) {
    static const char row[] = "%lld\t%s\t%d\t%s\t%d\t%s-%s-%03d\n";
    char *table =
        text_format("subject_id\tsubject_name\tclass_id\tclass_name\tsample_id\tsample_name\n");
    for (int64_t p = 0; p < PART_A_PEOPLE; p++) {
        char *person = p % 4 == 3 && p / 4 < HARDLY ? text_format("%s", hardly[p / 4])
                                                    : text_format("07%04lld_w_21", (long long)p);
        char *rows = text_format("%s", "");
        for (int i = 0; i < RAW_CLASSES * PART_A_PER_CLASS; i++) {
            int c = i / PART_A_PER_CLASS, n = i % PART_A_PER_CLASS + 1;
            const char *name = pains[c];
            char *line =
                text_format(row, (long long)p + 1, person, c, name, i + 1, person, name, n);
            char *more = text_format("%s%s", rows, line);
            char *file =
                text_format("biosignals_filtered/%s/%s-%s-%03d_bio.csv", person, person, name, n);
            raw_write_text(source, file, "time\tgsr\n0\t1\n1953\t2\n3906\t3\n");
            free(file);
            free(rows);
            free(line);
            rows = more;
        }
        char *more = text_format("%s%s", table, rows);
        free(table);
        free(rows);
        free(person);
        table = more;
    }
    raw_write_text(source, "starting_point/samples.csv", table);
    free(table);
}

static void check_left_out(const char *place, int64_t people, int64_t each) {
    for (int64_t fold = 0; fold < people; fold += people - 1) {
        dataset_t *dataset = open_gsr(place, 1, -1, fold);
        assert_int_equal(dataset->subject_count, people);
        assert_int_equal(dataset->recording_count, people * each);
        assert_int_equal(dataset_fold_count(dataset), people);
        assert_int_equal(dataset_sample_count(dataset, SPLIT_TEST), each);
        assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), (people - 1) * each);
        dataset_close(dataset);
    }
}

/* 87 x 100 samples, 87 x 40 of two classes, and 67 x 40 of those who react; each left out once. */
static void part_a_of_biovid_has_its_counts(void **state) {
    (void)state;
    static const char *const sets[][3] = {{"label_s=0", "task=0", "reactive=0"},
                                          {"label_s=0", "task=4", "reactive=0"},
                                          {"label_s=0", "task=4", "reactive=1"}};
    char *place = place_make(), *source = place_path(place, "source");
    write_part_a(source);
    CHECK_OK(run_import("biovid", place, sets[0], 3));
    check_left_out(place, 87, 100);
    CHECK_OK(run_import("biovid", place, sets[1], 3));
    check_left_out(place, 87, 40);
    CHECK_OK(run_import("biovid", place, sets[2], 3));
    check_left_out(place, 67, 40);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_a_of_biovid_has_its_counts),
    };
    return RUN_TESTS(tests);
}
