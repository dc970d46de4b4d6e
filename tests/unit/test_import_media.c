/* Anybody's own raw media by a manifest, of which everything is known (raw_case.h). */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/audio.h"
#include "data-sharding/import.h"
#include "data-sharding/vggish_mel.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"
#include "unit/raw_import.h"

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
        {"a,A,,vggish:v,16000,two.wav,,\n", NULL, ":2: sound has its own rate"},
        {"a,A,,audio:v,,two.wav,faces.csv,\n", NULL, ":2: boxes frame pictures"},
        {"a,A,,video:x,25,two,,\na,A,,audio:x,,two.wav,,\n", NULL,
         ":3: another kind of modality has this name"},
        {"a,A,,signal:e,64,one_eda.csv,,\n", NULL, ":2: its column of times would be a feature"},
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

/* Both front ends of one file: VGGish's frames are those of its samples at 16 kHz, each at the time
 * of its middle, and sound too short for one is followed by silence. */
static void sound_as_vggish_takes_it(void **state) {
    (void)state;
    char *place = place_make(), *source = place_path(place, "source"), *wav = NULL;
    audio_t audio;
    size_t bytes = 0;
    raw_media(source);
    char *brief_path = place_path(source, "short.wav");
    raw_write_wav(brief_path, 6, 0.01);
    free(brief_path);
    write_manifest(source, "a,A,,vggish:ear,,two.wav,,0.5\n"
                           "a,A,,audio:voice,,two.wav,,\n"
                           "b,B,,vggish:ear,,short.wav,,\n");
    CHECK_OK(run_import("media", place, NULL, 0));
    dataset_t *dataset = open_data(place);
    taken_t ear = take(dataset, 0, "ear", false), voice = take(dataset, 0, "voice", false);
    taken_t brief = take(dataset, 1, "ear", false);
    check_voice(&voice, 6, 0.15);
    assert_int_equal(ear.track->kind, TRACK_VGGISH_MEL);
    assert_true(ear.span.rate_hz == 100.0 && ear.span.start_s == 0.5125);
    char *path = place_path(source, "two.wav");
    CHECK_OK(file_read(path, &wav, &bytes));
    CHECK_OK(wav_decode(path, wav, bytes, &audio));
    CHECK_OK(audio_resample(path, &audio, VGGISH_MEL_RATE_HZ));
    vggish_mel_t *mel = vggish_mel_open();
    int64_t frames = vggish_mel_frames(audio.count);
    float *want = alloc_zero(frames * VGGISH_MEL_BANDS, sizeof *want);
    vggish_mel_log(mel, audio.samples, audio.count, want);
    assert_int_equal(ear.span.length, frames);
    assert_memory_equal(ear.values, want, (size_t)(frames * VGGISH_MEL_BANDS) * sizeof *want);
    assert_int_equal(brief.span.length, 1);
    vggish_mel_close(mel);
    audio_free(&audio);
    taken_free(&brief);
    taken_free(&voice);
    taken_free(&ear);
    dataset_close(dataset);
    free(want);
    free(path);
    free(wav);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_files_are_read),
        cmocka_unit_test(manifests_that_do_not_fit_are_refused),
        cmocka_unit_test(damaged_media_is_left_out),
        cmocka_unit_test(sound_as_vggish_takes_it),
    };
    return RUN_TESTS(tests);
}
