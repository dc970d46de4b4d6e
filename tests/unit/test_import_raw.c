/* The importers of raw data sets against sources of which everything is known (raw_case.h): what is
 * seen and heard at each time, labels, gaps, splits; and sources that are not as they should be. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"
#include "unit/raw_import.h"

/* --- Aff-Wild2 ------------------------------------------------------------------------------ */

static void check_faces(const dataset_t *dataset, int64_t recording, const raw_video_t *v) {
    taken_t faces = take(dataset, recording, "video", false);
    int64_t steps = v->faces == 0 ? 0 : max_i64(v->lines, v->faces);
    assert_int_equal(faces.span.length, steps);
    for (int64_t i = 0; i < steps; i++) {
        int64_t frame = i + 1;
        bool there = frame <= v->faces && (frame < v->gap_first || frame >= v->gap_end);
        assert_int_equal(faces.valid[i], there);
        double seen = raw_see(picture(&faces, i), RAW_SIDE);
        if (there) {
            assert_true(fabs(seen - raw_seen(v->number, (double)i / v->fps)) < 0.05);
        }
    }
    assert_true(steps == 0 || faces.span.rate_hz == v->fps);
    taken_free(&faces);
}

static void check_annotation(const dataset_t *dataset, int64_t recording, const raw_video_t *v) {
    taken_t valence = take(dataset, recording, "valence", true);
    taken_t arousal = take(dataset, recording, "arousal", true);
    assert_int_equal(valence.span.length, v->lines);
    assert_true(valence.span.rate_hz == v->fps && valence.span.start_s == 0.0);
    for (int64_t i = 0; i < v->lines; i++) {
        double time = (double)i / v->fps;
        assert_int_equal(valence.valid[i], i >= v->ignored);
        assert_int_equal(arousal.valid[i], i >= v->ignored);
        if (i >= v->ignored) {
            double a = ((float *)valence.values)[i], b = ((float *)arousal.values)[i];
            assert_true(fabs(a - raw_valence(v->number, time)) < 1e-4);
            assert_true(fabs(b - raw_arousal(v->number, time)) < 1e-4);
        }
    }
    taken_free(&valence);
    taken_free(&arousal);
}

static void affwild2_is_taken_as_distributed(void **state) {
    (void)state;
    char *place = place_make(), *source = place_path(place, "source");
    raw_affwild2(source);
    raw_write_text(source, "logo.png", "a picture that is no frame");
    assert_string_equal(import_recognise(source), "affwild2");
    CHECK_OK(run_import("affwild2", place, NULL, 0));
    dataset_t *dataset = open_data(place);
    assert_int_equal(dataset->recording_count, RAW_VIDEOS);
    for (int i = 0; i < RAW_VIDEOS; i++) {
        const raw_video_t *v = &raw_videos[i];
        bool train = strcmp(v->set, "Train_Set") == 0;
        recording_info_t info = dataset_recording(dataset, i);
        assert_int_equal(info.split, train ? SPLIT_TRAIN : SPLIT_TEST);
        assert_string_equal(info.name, info.subject); /* who is known by the video alone */
        assert_true(strcmp(v->base, v->name) == 0 ? strcmp(info.group, info.subject) == 0
                                                  : strcmp(info.group, v->base) == 0);
        check_faces(dataset, i, v);
        check_annotation(dataset, i, v);
        taken_t voice = take(dataset, i, "audio", false);
        assert_true((voice.span.length > 0) == (v->video != NULL));
        if (v->video != NULL) {
            check_voice(&voice, v->number, 0.15);
        }
        taken_free(&voice);
    }
    dataset_close(dataset);
    free(source);
    place_remove(place);
}

/* Line 2 is of frame 2, and so on; -1 is no label: of an action unit, of that one alone. */
static void affwild2_has_three_challenges(void **state) {
    (void)state;
    static const char expressions[] = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other";
    static const char units[] = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26";
    char *place = place_make(), *source = place_path(place, "source");
    raw_affwild2(source);
    char *text = text_format("%s\n7\n-1\n0\n", expressions);
    raw_write_text(source, "EXPR_Recognition_Challenge/Train_Set/v1.txt", text);
    free(text);
    text = text_format("%s\n1,0,0,0,0,0,0,0,0,0,0,1\n-1,1,0,0,0,0,0,0,0,0,0,0\n", units);
    raw_write_text(source, "AU_Detection_Challenge/Validation_Set/v1.txt", text);
    free(text);
    const char *const tasks[] = {"task=1", "task=2"};
    CHECK_OK(run_import("affwild2", place, &tasks[0], 1));
    dataset_t *dataset = open_data(place);
    assert_int_equal(dataset->recording_count, 1);
    taken_t expression = take(dataset, 0, "expression", true);
    const float *values = expression.values;
    assert_int_equal(expression.span.length, 3);
    assert_true(values[0] == 7.0f && values[2] == 0.0f);
    assert_true(expression.valid[0] && !expression.valid[1] && expression.valid[2]);
    taken_free(&expression);
    dataset_close(dataset);

    CHECK_OK(run_import("affwild2", place, &tasks[1], 1));
    dataset = open_data(place);
    assert_int_equal(dataset_recording(dataset, 0).split, SPLIT_TEST);
    taken_t first = take(dataset, 0, "AU1", true), second = take(dataset, 0, "AU2", true);
    taken_t last = take(dataset, 0, "AU26", true);
    assert_true(first.valid[0] && !first.valid[1] && second.valid[1]);
    assert_true(((float *)first.values)[0] == 1.0f && ((float *)second.values)[1] == 1.0f);
    assert_true(((float *)last.values)[0] == 1.0f && ((float *)last.values)[1] == 0.0f);
    taken_free(&first);
    taken_free(&second);
    taken_free(&last);
    dataset_close(dataset);

    raw_write_text(source, "EXPR_Recognition_Challenge/Train_Set/v1.txt",
                   "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n1\n");
    expect_refused("affwild2", place, tasks[0], "not a line Neutral,Anger");
    text = text_format("%s\n8\n", expressions);
    raw_write_text(source, "EXPR_Recognition_Challenge/Train_Set/v1.txt", text);
    free(text);
    expect_refused("affwild2", place, tasks[0], ":2: 8 is neither from 0 to 7 nor -1");
    text = text_format("%s\n0.5\n", expressions);
    raw_write_text(source, "EXPR_Recognition_Challenge/Train_Set/v1.txt", text);
    free(text);
    expect_refused("affwild2", place, tasks[0], ":2: 0.5 is neither");
    free(source);
    place_remove(place);
}

/* An annotation of so many lines, each of them 0.5. */
static void write_lines(const char *source, const char *set, const char *name, int lines) {
    char *text = text_copy("valence,arousal\n");
    for (int i = 0; i < lines; i++) {
        char *longer = text_format("%s0.5,0.5\n", text);
        free(text);
        text = longer;
    }
    char *path = text_format("6th ABAW Annotations/VA_Estimation_Challenge/%s/%s.txt", set, name);
    raw_write_text(source, path, text);
    free(path);
    free(text);
}

/* What the import says, caller frees. */
static char *told(const char *place) {
    char *path = place_path(place, "stderr"), *text = NULL;
    size_t bytes = 0;
    int kept = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && fd >= 0 && dup2(fd, 2) == 2);
    status_t status = run_import("affwild2", place, NULL, 0);
    assert_true(dup2(kept, 2) == 2);
    close(kept);
    close(fd);
    CHECK_OK(status);
    CHECK_OK(file_read(path, &text, &bytes));
    free(path);
    return text;
}

/* The header of the pictures says that there are fewer. */
static void understate(const char *avi, uint32_t frames) {
    FILE *file = fopen(avi, "r+b");
    char head[4096];
    assert_non_null(file);
    size_t bytes = fread(head, 1, sizeof head, file), at = 0;
    while (at + 8 < bytes && memcmp(head + at, "strh", 4) != 0) {
        at++;
    }
    assert_true(at + 44 < bytes && memcmp(head + at + 8, "vids", 4) == 0);
    assert_int_equal(fseek(file, (long)at + 8 + 32, SEEK_SET), 0);
    assert_int_equal(fwrite(&frames, sizeof frames, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

/* v1 has 60 frames, v2 40 for two people, v9 30, in a file that does not count them. Each video
 * that does not fit is told, and a line without a frame labels nothing. */
static void affwild2_lines_and_frames_are_compared(void **state) {
    (void)state;
    char *place = place_make(), *source = place_path(place, "source");
    char *mp4 = place_path(source, "batch1/v9.mp4"), *mkv = place_path(source, "batch1/v9.mkv");
    char *avi = place_path(source, "batch2/v2.avi");
    raw_affwild2(source);
    understate(avi, 25);
    unlink(mp4);
    raw_write_video(mkv, 4, 30, 30, NULL, true);
    write_lines(source, "Train_Set", "v1", 63);
    write_lines(source, "Train_Set", "v2_left", 39);
    write_lines(source, "Validation_Set", "v9", 31);
    char *text = told(place);
    assert_non_null(strstr(text, "3 annotations with more or fewer lines than their video has"));
    assert_non_null(strstr(text, ": v1 has 63 lines and 60 frames; labels of frames that are not"));
    assert_non_null(strstr(text, ": v2_left has 39 lines and 40 frames\n"));
    assert_non_null(strstr(text, ": v9 has 31 lines and 30 frames; labels of frames that are not"));
    assert_null(strstr(text, "v2_right has")); /* as many, and 10-60-1280x720 has no video */
    dataset_t *dataset = open_data(place);
    static const struct {
        const char *name;
        int64_t lines, frames;
    } cases[] = {
        {"v1", 63, 60}, {"v2_left", 39, 40}, {"v2_right", 40, 40}, {"", 50, 50}, {"v9", 31, 30}};
    for (int r = 0; r < ARRAY_LEN(cases); r++) {
        taken_t valence = take(dataset, r, "valence", true);
        assert_int_equal(valence.span.length, cases[r].lines);
        for (int64_t i = cases[r].frames - 2; i < cases[r].lines; i++) {
            assert_int_equal(valence.valid[i], i < cases[r].frames);
        }
        taken_free(&valence);
    }
    dataset_close(dataset);
    free(text);
    free(mkv);
    free(avi);
    free(mp4);
    free(source);
    place_remove(place);
}

/* The clips of the published model, read as a trainer reads them. */
static void affwild2_makes_clips(void **state) {
    (void)state;
    static const char *const names[] = {"video", "audio"};
    static const char *const targets[] = {"valence", "arousal"};
    const clip_config_t clips[] = {{8, 4}, {107, 1}};
    char *place = place_make(), *source = place_path(place, "source");
    raw_affwild2(source);
    CHECK_OK(run_import("affwild2", place, NULL, 0));
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path,
                               .window = 4,
                               .split_seed = 1,
                               .rate_hz = 2.5,
                               .modalities = names,
                               .modality_count = 2,
                               .clips = clips,
                               .targets = targets,
                               .target_count = 2};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    enum { FACE = RAW_SIDE * RAW_SIDE * 3 };
    uint8_t *video = alloc_zero(4 * 8, FACE), *masks[2] = {alloc_zero(4, 1), alloc_zero(4, 1)};
    float *audio = alloc_zero(4 * 107 * 64, sizeof *audio), y[2][4];
    float *target[2] = {y[0], y[1]};
    void *tokens[2] = {video, audio};
    dataset_scratch_t *scratch = dataset_scratch_open(dataset);
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 0, scratch, tokens, masks, target));
    dataset_scratch_close(scratch);
    /* v1 at 30 Hz, a token every 12 frames: 0, 12, 24 (of frames 21 to 32 none is there), 36. */
    for (int t = 0; t < 4; t++) {
        assert_int_equal(masks[0][t], 1);
        for (int i = 0; i < 8; i++) {
            int64_t frame = 12 * t - 4 * (7 - i);
            double seen = raw_see(video + (int64_t)(t * 8 + i) * FACE, RAW_SIDE);
            if (t == 3 && i == 7) {
                assert_true(fabs(seen - raw_seen(1, (double)frame / 30.0)) < 0.05);
            }
        }
    }
    assert_true(fabs(y[0][2] - raw_valence(1, 24.0 / 30.0)) < 1e-4);
    assert_true(isnan(y[0][0])); /* the first three lines are -5 */
    float floor = audio[0];      /* long before the begin: the floor of the clip */
    for (int i = 0; i < 64 * 100; i++) {
        assert_true(audio[i] == floor);
    }
    free(video);
    free(audio);
    free(masks[0]);
    free(masks[1]);
    dataset_close(dataset);
    free(path);
    free(source);
    place_remove(place);
}

static void affwild2_that_is_not_so_is_refused(void **state) {
    (void)state;
    static const char set[] = "6th ABAW Annotations/VA_Estimation_Challenge/Train_Set/";
    static const struct {
        const char *file, *text, *error;
    } cases[] = {
        {"x.txt", "valence,arousal\n0.1,0.2\n", "no video x, and so no rate"},
        {"v1.txt", "arousal,valence\n0.1,0.2\n", "not a line valence,arousal"},
        {"v1.txt", "valence,arousal\n", "not a line valence,arousal"},
        {"v1.txt", "valence,arousal\n0.1,1.5\n", ":2: 1.5 is neither from -1 to 1 nor -5"},
        {"v1.txt", "valence,arousal\n0.1\n", ":2: 1 fields, column 2 is missing"},
        {"v1.txt", "valence,arousal\n0.1,x\n", "not a finite number"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *source = place_path(place, "source");
        char *name = text_format("%s%s", set, cases[i].file);
        raw_affwild2(source);
        raw_write_text(source, name, cases[i].text);
        expect_refused("affwild2", place, NULL, cases[i].error);
        free(name);
        free(source);
        place_remove(place);
    }
    char *place = place_make(), *source = place_path(place, "source");
    raw_affwild2(source);
    raw_write_text(source, "batch1/v2.mp4", "twice");
    expect_refused("affwild2", place, NULL, "the videos of v2.");
    free(source);
    place_remove(place);
}

/* --- BioVid ----------------------------------------------------------------------------------- */

static void check_sample(const dataset_t *dataset, int64_t at, int p, int c, int n, double label) {
    taken_t video = take(dataset, at, "video", false), gsr = take(dataset, at, "gsr", false);
    taken_t emg = take(dataset, at, "emg", false), pain = take(dataset, at, "pain", true);
    assert_int_equal(video.span.length, RAW_FRAMES);
    assert_true(video.span.rate_hz == 25.0);
    for (int i = 0; i < RAW_FRAMES; i += 23) {
        assert_true(fabs(raw_see(picture(&video, i), 48) - raw_pain_seen(p, c, n)) < 0.07);
    }
    assert_int_equal(gsr.span.length, RAW_ROWS);
    assert_int_equal(gsr.track->kind, TRACK_SIGNAL);
    assert_true(gsr.span.rate_hz == 512.0);
    for (int i = 0; i < RAW_ROWS; i++) {
        assert_true(fabs(((float *)gsr.values)[i] - raw_gsr(p, c, n, i)) < 1e-5);
        assert_true(fabs(((float *)emg.values)[i] - cos(i * 0.9)) < 1e-3);
    }
    assert_int_equal(pain.span.length, 1);
    assert_true(((float *)pain.values)[0] == label);
    assert_true(pain.span.rate_hz == 0.25 && pain.span.start_s == 2.4);
    taken_free(&video);
    taken_free(&gsr);
    taken_free(&emg);
    taken_free(&pain);
}

static void biovid_is_taken_as_distributed(void **state) {
    (void)state;
    static const char *const sets[][3] = {{"size=48", "task=0", "reactive=0"},
                                          {"size=48", "task=4", "reactive=0"},
                                          {"size=48", "task=2", "reactive=1"}};
    char *place = place_make(), *source = place_path(place, "source");
    raw_biovid(source);
    assert_string_equal(import_recognise(source), "biovid");
    for (int s = 0; s < ARRAY_LEN(sets); s++) {
        CHECK_OK(run_import("biovid", place, sets[s], 3));
        dataset_t *dataset = open_data(place);
        int64_t at = 0;
        for (int p = 0; p < RAW_PEOPLE; p++) {
            for (int c = 0; c < RAW_CLASSES; c++) {
                bool in = (s == 0 || c == 0 || c == (s == 1 ? 4 : 2)) && (s != 2 || p != 1);
                for (int n = 0; n < RAW_PER_CLASS && in; n++) {
                    check_sample(dataset, at++, p, c, n, s == 0 ? c : c > 0);
                }
            }
        }
        assert_int_equal(dataset->recording_count, at);
        assert_int_equal(dataset->subject_count, s == 2 ? 2 : RAW_PEOPLE);
        dataset_close(dataset);
    }
    free(source);
    place_remove(place);
}

/* Four tokens of a second a sample, which end at 2.4, 3.4, 4.4 and 5.4 s. */
static void biovid_makes_clips(void **state) {
    (void)state;
    static const char *const sets[] = {"size=16"};
    char *place = place_make(), *source = place_path(place, "source");
    raw_biovid(source);
    CHECK_OK(run_import("biovid", place, sets, 1));
    dataset_t *dataset = open_gsr(place, 512, 0, 0);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN),
                     RAW_PEOPLE * RAW_CLASSES * RAW_PER_CLASS);
    float *gsr = alloc_zero(4 * 512, sizeof *gsr), y[4], *target[1] = {y};
    uint8_t mask[4], *masks[1] = {mask};
    void *tokens[1] = {gsr};
    dataset_scratch_t *scratch = dataset_scratch_open(dataset);
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 3, scratch, tokens, masks, target));
    dataset_scratch_close(scratch);
    for (int t = 0; t < 4; t++) { /* the second sample of the second class of the first person */
        assert_true(mask[t] == 1 && y[t] == 1.0f);
        int last = (int)floor((2.4 + t) * 512.0 + 1e-6);
        for (int i = 0; i < 512; i++) {
            assert_true(fabs(gsr[t * 512 + i] - raw_gsr(0, 1, 1, last - 511 + i)) < 1e-5);
        }
    }
    free(gsr);
    dataset_close(dataset);
    free(source);
    place_remove(place);
}

static void damaged_samples_are_counted_or_refused(void **state) {
    (void)state;
    static const char *const sets[] = {"size=16"};
    char *place = place_make(), *source = place_path(place, "source");
    raw_biovid(source);
    raw_write_text(source, "biosignals_filtered/071309_w_21/071309_w_21-BL1-001_bio.csv",
                   "time\tgsr\tecg\temg_trapezius\n0\t1\t2\t3\n1953\t1\t2\n");
    raw_write_text(source, "video/071309_w_21/071309_w_21-BL1-002.mp4", "no video at all");
    CHECK_OK(run_import("biovid", place, sets, 1));
    dataset_t *dataset = open_data(place);
    assert_int_equal(dataset->recording_count, RAW_PEOPLE * RAW_CLASSES * RAW_PER_CLASS);
    for (int i = 0; i < 3; i++) {
        taken_t gsr = take(dataset, i, "gsr", false), video = take(dataset, i, "video", false);
        assert_int_equal(gsr.span.length, i == 0 ? 0 : RAW_ROWS);
        assert_int_equal(video.span.length, i == 1 ? 0 : RAW_FRAMES);
        taken_free(&gsr);
        taken_free(&video);
    }
    dataset_close(dataset);
    expect_refused("biovid", place, "strict=1", "071309_w_21-BL1-00");
    raw_write_text(source, "starting_point/samples.csv", "subject_id,subject_name\n1,a\n");
    expect_refused("biovid", place, NULL, "not the table of samples");
    free(source);
    place_remove(place);
}

static char *identity_of(const char *place) {
    dataset_t *dataset = open_data(place);
    char *identity = text_copy(dataset_identity(dataset));
    dataset_close(dataset);
    return identity;
}

/* One that ends half-way goes on behind its last whole shard, reads nothing before that again, and
 * leaves what one in a single run leaves; with other settings it begins anew. */
static void an_import_that_was_stopped_goes_on(void **state) {
    (void)state;
    static const char *const sets[] = {"size=16", "shards=15", "strict=1", "resume=1"};
    static const char late[] = "video/100117_m_36/100117_m_36-BL1-002.mp4";
    static const char early[] = "video/071309_w_21/071309_w_21-BL1-001.mp4";
    char *place = place_make(), *source = place_path(place, "source"), *video = NULL;
    char *aside = place_path(place, "data.tmp"), *journal = place_path(aside, "journal.json");
    char *rubbish = place_path(aside, "shard-00014.h5.tmp"), *path = place_path(source, late);
    size_t bytes = 0;
    raw_biovid(source);
    CHECK_OK(run_import("biovid", place, sets, 3));
    char *whole = identity_of(place);
    CHECK_OK(file_read(path, &video, &bytes));
    place_write(source, late, video, bytes / 2);
    CHECK_FAILS(run_import("biovid", place, sets, 3), STATUS_INPUT, "100117_m_36-BL1-002");
    assert_false(dir_exists(aside)); /* nobody asked for it */
    CHECK_FAILS(run_import("biovid", place, sets, 4), STATUS_INPUT, "100117_m_36-BL1-002");
    assert_true(file_exists(journal));
    place_write(aside, "shard-00014.h5.tmp", "x", 1);
    place_write(source, late, video, bytes);
    place_write(source, early, "no video any more", 17);
    CHECK_OK(run_import("biovid", place, sets, 4));
    assert_false(dir_exists(aside) || file_exists(rubbish));
    char *resumed = identity_of(place);
    assert_string_equal(resumed, whole);
    dataset_t *dataset = open_data(place);
    assert_int_equal(dataset->subject_count, RAW_PEOPLE);
    dataset_close(dataset);
    place_write(source, late, video, bytes / 2);
    const char *const lenient[] = {"size=16", "shards=15", "resume=1", "task=0"};
    CHECK_FAILS(run_import("biovid", place, sets, 4), STATUS_INPUT, "071309_w_21-BL1-001");
    CHECK_OK(run_import("biovid", place, lenient, 4));
    free(resumed);
    free(whole);
    free(video);
    free(path);
    free(rubbish);
    free(journal);
    free(aside);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affwild2_is_taken_as_distributed),
        cmocka_unit_test(affwild2_has_three_challenges),
        cmocka_unit_test(affwild2_lines_and_frames_are_compared),
        cmocka_unit_test(affwild2_makes_clips),
        cmocka_unit_test(affwild2_that_is_not_so_is_refused),
        cmocka_unit_test(biovid_is_taken_as_distributed),
        cmocka_unit_test(biovid_makes_clips),
        cmocka_unit_test(damaged_samples_are_counted_or_refused),
        cmocka_unit_test(an_import_that_was_stopped_goes_on),
    };
    return RUN_TESTS(tests);
}
