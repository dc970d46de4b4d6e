/* The importers of raw media against sources of which everything is known (raw_case.h): what is
 * seen and heard at each time, labels, gaps, splits; and sources that are not as they should be. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/dataset_internal.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"

static status_t run_import(const char *importer, const char *place, const char *const *sets,
                           int set_count) {
    char *source = place_path(place, "source"), *out = place_path(place, "data");
    status_t status = dir_remove(out);
    char *key = place_path(place, "data.key");
    unlink(key);
    if (status == STATUS_OK) {
        status = import_run(importer, source, out, sets, set_count);
    }
    free(key);
    free(out);
    free(source);
    return status;
}

/* Everything of one recording's track. */
typedef struct taken {
    const shard_track_t *track;
    shard_span_t span;
    void *values;
    uint8_t *valid;
} taken_t;

static dataset_t *open_data(const char *place) {
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path, .window = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    free(path);
    return dataset;
}

static taken_t take(const dataset_t *dataset, int64_t recording, const char *name, bool is_target) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    const shard_t *shard = dataset->shards[r->shard];
    taken_t t = {.track = shard_track(shard, name, is_target)};
    assert_non_null(t.track);
    t.span = t.track->spans[r->row];
    t.values = alloc_zero(max_i64(t.span.length, 1), (size_t)shard_step_bytes(t.track));
    t.valid = alloc_zero(max_i64(t.span.length, 1), 1);
    CHECK_OK(shard_read_values(shard, t.track, t.span.offset, t.span.length, t.values));
    CHECK_OK(shard_read_valid(shard, t.track, t.span.offset, t.span.length, t.valid));
    return t;
}

static void taken_free(taken_t *t) {
    free(t->values);
    free(t->valid);
}

static const uint8_t *picture(const taken_t *t, int64_t step) {
    return (const uint8_t *)t->values + step * t->track->dim;
}

/* What is heard follows the time; a constant of the transform is taken from the middle. */
static void check_voice(const taken_t *t, int number, double slack) {
    assert_int_equal(t->track->kind, TRACK_LOG_MEL);
    assert_true(t->span.rate_hz == 100.0);
    const float *db = t->values;
    int64_t middle = t->span.length / 2;
    double constant =
        raw_hear(db + middle * 64) - raw_heard(number, t->span.start_s + (double)middle / 100.0);
    assert_true(fabs(constant) < 0.5);
    for (int64_t i = 12; i < t->span.length - 12; i++) {
        double heard = raw_hear(db + i * 64) - constant;
        double want = raw_heard(number, t->span.start_s + (double)i / 100.0);
        if (fabs(heard - want) > slack) {
            fail_msg("frame %d of %d: heard %.3f, want %.3f", (int)i, (int)t->span.length, heard,
                     want);
        }
    }
}

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
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 0, tokens, masks, target));
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

static void expect_refused(const char *importer, const char *place, const char *set,
                           const char *error) {
    const char *const sets[] = {set};
    CHECK_FAILS(run_import(importer, place, sets, set != NULL), STATUS_INPUT, error);
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
    static const char *const names[] = {"gsr"}, *const targets[] = {"pain"};
    static const char *const sets[] = {"size=16"};
    const clip_config_t clip = {512, 1};
    char *place = place_make(), *source = place_path(place, "source");
    raw_biovid(source);
    CHECK_OK(run_import("biovid", place, sets, 1));
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path,
                               .window = 4,
                               .split_seed = 1,
                               .rate_hz = 1.0,
                               .modalities = names,
                               .modality_count = 1,
                               .clips = &clip,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN),
                     RAW_PEOPLE * RAW_CLASSES * RAW_PER_CLASS);
    float *gsr = alloc_zero(4 * 512, sizeof *gsr), y[4], *target[1] = {y};
    uint8_t mask[4], *masks[1] = {mask};
    void *tokens[1] = {gsr};
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 3, tokens, masks, target));
    for (int t = 0; t < 4; t++) { /* the second sample of the second class of the first person */
        assert_true(mask[t] == 1 && y[t] == 1.0f);
        int last = (int)floor((2.4 + t) * 512.0 + 1e-6);
        for (int i = 0; i < 512; i++) {
            assert_true(fabs(gsr[t * 512 + i] - raw_gsr(0, 1, 1, last - 511 + i)) < 1e-5);
        }
    }
    free(gsr);
    dataset_close(dataset);
    free(path);
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

/* --- anybody's own ---------------------------------------------------------------------------- */

static void check_own_face(const taken_t *face, int number, int gap_begin, int gap_end, int side) {
    assert_int_equal(face->span.length, RAW_MEDIA_FRAMES);
    assert_true(face->span.rate_hz == RAW_MEDIA_FPS && face->span.start_s == 0.0);
    for (int i = 0; i < RAW_MEDIA_FRAMES; i++) {
        bool there = i < gap_begin || i >= gap_end;
        assert_int_equal(face->valid[i], there);
        double want = raw_seen(number, (double)i / RAW_MEDIA_FPS);
        if (there && fabs(raw_see(picture(face, i), side) - want) > 0.07) {
            fail_msg("frame %d: seen %.3f, want %.3f", i, raw_see(picture(face, i), side), want);
        }
    }
}

static void check_labels(const taken_t *label, int number, int steps, double rate_hz,
                         double start_s) {
    assert_int_equal(label->span.length, steps);
    assert_true(fabs(label->span.rate_hz - rate_hz) < 1e-3 * rate_hz);
    assert_true(fabs(label->span.start_s - start_s) < 1e-6);
    for (int i = 0; i < steps; i++) {
        double want = raw_valence(number, start_s + i / rate_hz);
        assert_true(fabs(((float *)label->values)[i] - want) < 1e-5);
    }
}

static void own_files_are_read(void **state) {
    (void)state;
    static const char *const sets[][3] = {{"size=64", "margin=0", "first_frame=1"},
                                          {"size=64", "threads=1", "first_frame=1"}};
    char *place = place_make(), *source = place_path(place, "source");
    raw_media(source);
    assert_string_equal(import_recognise(source), "media");
    char identity[2][SHA256_TEXT_BYTES];
    for (int s = 0; s < 2; s++) {
        CHECK_OK(run_import("media", place, sets[s], 3));
        dataset_t *dataset = open_data(place);
        assert_int_equal(dataset->recording_count, 2);
        for (int r = 0; r < 2; r++) {
            taken_t face = take(dataset, r, "face", false),
                    voice = take(dataset, r, "voice", false);
            taken_t label = take(dataset, r, "valence", true);
            if (s == 0) {
                check_own_face(&face, 5 + r, r == 0 ? 30 : 10, r == 0 ? 34 : 14, 64);
            }
            check_voice(&voice, 5 + r, 0.15);
            check_labels(&label, 5 + r, r == 0 ? 30 : 25, 10.0, r == 0 ? 0.0 : 0.5);
            taken_free(&face);
            taken_free(&voice);
            taken_free(&label);
        }
        taken_t eda = take(dataset, 0, "eda", false);
        assert_int_equal(eda.track->kind, TRACK_SIGNAL);
        assert_int_equal(eda.span.length, 150);
        assert_true(fabs(eda.span.rate_hz - 64.0) < 0.01 && fabs(eda.span.start_s - 0.5) < 1e-6);
        taken_free(&eda);
        memcpy(identity[s], dataset_identity(dataset), SHA256_TEXT_BYTES);
        dataset_close(dataset);
    }
    assert_string_not_equal(identity[0], identity[1]); /* another margin */
    CHECK_OK(run_import("media", place,
                        (const char *const[]){"size=64", "threads=7", "first_frame=1"}, 3));
    dataset_t *dataset = open_data(place); /* with any number of threads the same bytes */
    assert_string_equal(dataset_identity(dataset), identity[1]);
    dataset_close(dataset);
    free(source);
    place_remove(place);
}

static void write_manifest(const char *source, const char *rows) {
    char *text =
        text_format("recording,subject,group,modality,rate_hz,path,boxes,start_s\n%s", rows);
    raw_write_text(source, "manifest.csv", text);
    free(text);
}

static void manifests_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *rows, *set, *error;
    } cases[] = {
        {"a,A,,video:face,,none.mp4,,\n", NULL, "manifest.csv:2: "},
        {"a,A,,video:face,,two,none.csv,\n", NULL, "none.csv: no such file"},
        {"a,A,,audio:v,44100,two.wav,,\n", NULL, ":2: sound has its own rate"},
        {"a,A,,audio:v,,two.wav,faces.csv,\n", NULL, ":2: boxes frame pictures"},
        {"a,A,,video:x,25,two,,\na,A,,audio:x,,two.wav,,\n", NULL,
         ":3: another kind of modality has this name"},
        {"a,A,,label:y,,one_label.csv,,\n", NULL, "the first column is not called time"},
        {"a,A,,label:y,,two_label.npy,,\n", NULL, "beside a .csv with a column of times alone"},
        {"a,A,,video:face,25,two,,\n", "strict=1", "say how they count by --set first_frame=1"},
        {"a,A,,video:face,,two,,\n", "strict=1", "files of pictures state no rate"},
        {"a,A,,video:face,,two.wav,,\n", "strict=1", "two.wav"},
        {"a,A,,label:y,,uneven.csv,,\n", NULL, "uneven.csv:3: time 0.1 does not follow evenly"},
        {"a,A,,video:face,,Übung/α β.mp4,wrong.csv,\n", "strict=1", "no columns of boxes"},
    };
    char *place = place_make(), *source = place_path(place, "source");
    char *far = place_path(source, "far");
    raw_media(source);
    raw_write_text(source, "uneven.csv", "time,y\n0,1\n0.1,2\n0.9,3\n1.0,4\n");
    raw_write_text(source, "two_label.npy", "");
    raw_write_text(source, "wrong.csv", "a,b\n1,2\n");
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        write_manifest(source, cases[i].rows);
        expect_refused("media", place, cases[i].set, cases[i].error);
    }
    CHECK_OK(dir_make(far));
    place_write(far, "0.jpg", "x", 1);
    place_write(far, "000100000.jpg", "x", 1);
    write_manifest(source, "a,A,,video:face,25,far,,\n");
    expect_refused("media", place, "strict=1", "a picture of frame 100000 among 2 pictures");
    write_manifest(source, "a,A,,video:face,,two,,\n");
    CHECK_FAILS(run_import("features", place, NULL, 0), STATUS_INPUT, "the header must be");
    raw_write_text(source, "manifest.csv",
                   "recording,subject,group,modality,rate_hz,path\n"
                   "a,A,,video:face,,two\n");
    expect_refused("features", place, NULL, "use jmt shard media");
    free(far);
    free(source);
    place_remove(place);
}

/* Damaged files are taken as missing; a recording of which nothing is left is left out. */
static void damaged_media_is_left_out(void **state) {
    (void)state;
    static const char *const sets[] = {"size=32", "first_frame=1"};
    char *place = place_make(), *source = place_path(place, "source"), *data = NULL;
    char *jpeg = place_path(source, "two/img_00003.jpg"),
         *video = place_path(source, "Übung/α β.mp4");
    size_t bytes = 0;
    raw_media(source);
    CHECK_OK(file_read(jpeg, &data, &bytes));
    place_write(source, "two/img_00003.jpg", data, bytes - 100);
    place_write(source, "two/img_00004.jpg", "", 0);
    place_write(source, "two/notes.txt", "x", 1);
    free(data);
    CHECK_OK(file_read(video, &data, &bytes));
    place_write(source, "cut.mp4", data, bytes / 2);
    place_write(source, "empty.wav", data, 0);
    free(data);
    write_manifest(source, "a,A,,video:face,25,two,,2.5\n"
                           "a,A,,audio:v,,empty.wav,,\n"
                           "a,A,,label:y,10,one_label.csv,,\n"
                           "gone,B,,video:face,,cut.mp4,,\n"
                           "b,B,,label:y,10,one_label.csv,,\n");
    CHECK_OK(run_import("media", place, sets, 2));
    dataset_t *dataset = open_data(place);
    assert_int_equal(dataset->recording_count, 2);
    taken_t face = take(dataset, 0, "face", false), voice = take(dataset, 0, "v", false);
    assert_int_equal(face.span.length, RAW_MEDIA_FRAMES);
    assert_true(face.span.start_s == 2.5);
    assert_int_equal(
        face.valid[1] * 1000 + face.valid[2] * 100 + face.valid[3] * 10 + face.valid[4], 1001);
    assert_int_equal(voice.span.length, 0);
    taken_free(&face);
    taken_free(&voice);
    dataset_close(dataset);
    free(video);
    free(jpeg);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affwild2_is_taken_as_distributed),
        cmocka_unit_test(affwild2_makes_clips),
        cmocka_unit_test(affwild2_that_is_not_so_is_refused),
        cmocka_unit_test(biovid_is_taken_as_distributed),
        cmocka_unit_test(biovid_makes_clips),
        cmocka_unit_test(damaged_samples_are_counted_or_refused),
        cmocka_unit_test(an_import_that_was_stopped_goes_on),
        cmocka_unit_test(own_files_are_read),
        cmocka_unit_test(manifests_that_do_not_fit_are_refused),
        cmocka_unit_test(damaged_media_is_left_out),
    };
    return RUN_TESTS(tests);
}
