/* Data sets as they are: the numbers of their descriptions; and what is refused, on small files of
 * their layout. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/gzip.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/real_case.h"

static void make_dir(const char *place, const char *name) {
    char *path = place_path(place, name);
    CHECK_OK(dir_make(path));
    free(path);
}

/* ---- Stress-Predict ---- */

static const char *const stress_senses[] = {"hr", "rr", "eda", "temp"};
static const char *const stress_target[] = {"stress"};

static dataset_config_t stress_config(const char *path) {
    return (dataset_config_t){.path = path,
                              .window = 60,
                              .modalities = stress_senses,
                              .modality_count = 4,
                              .targets = stress_target,
                              .target_count = 1};
}

typedef struct stress_sample {
    float values[4][60], labels[60];
    uint8_t masks[4][60];
} stress_sample_t;

static void stress_read(const dataset_t *dataset, int64_t index, stress_sample_t *s) {
    float *const features[] = {s->values[0], s->values[1], s->values[2], s->values[3]};
    uint8_t *const mask[] = {s->masks[0], s->masks[1], s->masks[2], s->masks[3]};
    float *const target[] = {s->labels};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, index, features, mask, target));
}

static void stress_predict_has_its_numbers(void **state) {
    (void)state;
    static const char source[] = SHARED_DATA "/stress_predict";
    skip_without(source);
    assert_string_equal(import_recognise(source), "stress-predict");
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("stress-predict", source, path, NULL, 0));
    static const want_t want[] = {
        {"windows", 1704},
        {"window", 60},
        {"subjects", 34},
        {"recordings", 34},
        {"modalities/hr/steps", 112516},
        {"modalities/hr/valid", 112472},
        {"modalities/hr/rate_hz", 1},
        {"modalities/rr/valid", 112516},
        {"modalities/eda/rate_hz", 4},
        {"modalities/temp/rate_hz", 4},
        {"targets/stress/steps", 112516},
        {"targets/stress/valid", 1704 * 60},
        {"facts/empty_hr", 44},
        {"facts/reference_windows", 1704},
    };
    check_facts(path, want, ARRAY_LEN(want));
    dataset_config_t config = stress_config(path);
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 1704);
    int64_t stressed = 0, masked = 0;
    stress_sample_t s;
    for (int64_t i = 0; i < 1704; i++) {
        stress_read(dataset, i, &s);
        stressed += s.labels[0] == 1.0f;
        for (int t = 0; t < 60; t++) {
            assert_true(s.labels[t] == s.labels[0]); /* one label a window */
            masked += !s.masks[0][t] + !s.masks[1][t] + !s.masks[2][t] + !s.masks[3][t];
        }
    }
    assert_int_equal(llround(1000.0 * (double)stressed / 1704.0), 318); /* 31.8 % */
    assert_int_equal(masked, 0);
    stress_read(dataset, 0, &s); /* S02 from 1644227583 on; the band began at 1644227574 */
    assert_true(s.values[0][0] == 118.0f && s.values[0][1] == 113.5f);
    char *file = text_format("%s/Raw_data/S02/EDA.csv", source), *text = NULL;
    size_t bytes;
    CHECK_OK(file_read(file, &text, &bytes));
    char *line = text;
    for (int number = 1; number < 3 + 4 * 9; number++) { /* sample 36 is on line 39 */
        line = strchr(line, '\n') + 1;
    }
    for (int t = 0; t < 60; t++) {
        assert_true(s.values[2][t] == strtof(line, NULL));
        for (int k = 0; k < 4; k++) {
            line = strchr(line, '\n') + 1;
        }
    }
    free(text);
    free(file);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* 130 seconds of S07: stress from second `from` on; HR of second 3 is empty. */
static void write_small_stress(const char *place, int from, const char *broken) {
    make_dir(place, "Processed_data");
    make_dir(place, "Raw_data/S07");
    char *text = text_copy("Participant,HR,respr,Time(sec),Label\r\n");
    for (int i = 0; i < 130; i++) {
        char *hr = i == 3 ? text_copy("") : text_format("%d", 60 + i);
        char *longer = text_format("%s7,%s,%d.5,%d,%d\r\n", text, hr, i, 1000 + i, i >= from);
        free(text);
        free(hr);
        text = longer;
    }
    if (broken != NULL) {
        char *longer = text_format("%s%s", text, broken);
        free(text);
        text = longer;
    }
    place_text(place, "Processed_data/Improved_All_Combined_hr_rsp_binary.csv", text);
    free(text);
    place_text(place, "Raw_data/S07/EDA.csv", "998.5\n4.0\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
    place_text(place, "Raw_data/S07/TEMP.csv", "1001\n4.0\n30\n31\n32\n33\n34\n");
}

static void small_stress_windows_are_cut_by_the_rule(void **state) {
    (void)state;
    static const struct {
        int from, windows;
        float last; /* label of the last window */
    } cases[] = {{200, 2, 0}, {60, 2, 1}, {114, 2, 0}, {113, 1, 0}, {66, 2, 1}, {67, 1, 0}};
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make(), *path = place_path(place, "data");
        write_small_stress(place, cases[i].from, NULL);
        CHECK_OK(import_run("stress-predict", place, path, NULL, 0));
        dataset_config_t config = stress_config(path);
        dataset_t *dataset = NULL;
        CHECK_OK(dataset_open(&config, &dataset));
        assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), cases[i].windows);
        stress_sample_t s;
        stress_read(dataset, cases[i].windows - 1, &s);
        assert_true(s.labels[0] == cases[i].last && s.labels[59] == cases[i].last);
        stress_read(dataset, 0, &s);
        assert_int_equal(s.masks[0][3], 0); /* the empty cell */
        assert_true(s.values[0][4] == 64.0f && s.values[1][4] == 4.5f);
        /* eda from 998.5 s: second 1000 shows sample 6, 1001 sample 10, 1002 nothing */
        assert_true(s.values[2][0] == 6.0f && s.values[2][1] == 10.0f && !s.masks[2][2]);
        assert_true(!s.masks[3][0] && s.values[3][1] == 30.0f && s.values[3][2] == 34.0f);
        dataset_close(dataset);
        free(path);
        place_remove(place);
    }
    char *place = place_make(), *path = place_path(place, "data");
    static const char *const sets[] = {"all_labels=1"};
    write_small_stress(place, 67, NULL);
    CHECK_OK(import_run("stress-predict", place, path, sets, 1));
    dataset_config_t config = stress_config(path);
    dataset_t *dataset = NULL;
    stress_sample_t s;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 3);
    stress_read(dataset, 1, &s);
    assert_true(s.labels[6] == 0.0f && s.labels[7] == 1.0f);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void broken_stress_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *rows, *error;
    } cases[] = {
        {"7,1,1,1131,0\r\n", ".csv:132: time 1131 does not follow 1129 by one second"},
        {"8,1,1,5,0\r\n7,1,1,1130,0\r\n", ".csv:133: participant 7 again after another one"},
        {"7,1,1,1130,2\r\n", ".csv:132: label 2 is neither 0 nor 1"},
        {"7,x,1,1130,0\r\n", ".csv:132: column 2 is \"x\", not a finite number"},
        {"8,1,1,5,0\r\n", "Raw_data/S08/EDA.csv"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_small_stress(place, 200, cases[i].rows);
        import_refused("stress-predict", place, cases[i].error);
        place_remove(place);
    }
    char *place = place_make(), *path = place_path(place, "data");
    write_small_stress(place, 200, NULL);
    static const struct {
        const char *file, *text, *error;
    } files[] = {
        {"Raw_data/S07/EDA.csv", "998\n0\n1\n", "EDA.csv:2: rate 0, but the band's is 4 Hz; get"},
        {"Raw_data/S07/EDA.csv", "998\n8\n1\n", "EDA.csv:2: rate 8, but the band's is 4 Hz; get"},
        {"Raw_data/S07/EDA.csv", "1130\n4\n1\n2\n",
         "EDA.csv: its 2 samples run from second 130 to 130 of the person's 130 labelled seconds"},
        {"Raw_data/S07/EDA.csv", "900\n4\n1\n2\n", "so cover none; get the file again"},
        {"Processed_data/Improved_All_Combined_hr_rsp_binary.csv",
         "Participant,respr,HR,Time(sec),Label\n7,1,1,1000,0\n",
         ".csv:1: column 2 of 5 is \"respr\", expected \"HR\" of 5; get the file again"},
        {"Processed_data/Improved_All_Combined_hr_rsp_binary.csv",
         "Participant,HR,respr,Time(sec),Label,more\n7,1,1,1000,0,1\n", "column 1 of 6"},
    };
    for (int i = 0; i < ARRAY_LEN(files); i++) {
        write_small_stress(place, 200, NULL);
        place_text(place, files[i].file, files[i].text);
        CHECK_FAILS(import_run("stress-predict", place, path, NULL, 0), STATUS_INPUT,
                    files[i].error);
    }
    free(path);
    place_remove(place);
}

/* ---- CEAP-360VR ---- */

static json_t *ceap_videos(const char *source, const char *name, const char *outer,
                           const char *videos) {
    char *path = text_format("%s/%s", source, name), *text = NULL;
    size_t bytes;
    CHECK_OK(gzip_read(path, &text, &bytes));
    json_t *root = json_loadb(text, bytes, 0, NULL);
    json_t *list = json_object_get(json_array_get(json_object_get(root, outer), 0), videos);
    assert_int_equal(json_array_size(list), 8);
    json_incref(list);
    json_decref(root);
    free(text);
    free(path);
    return list;
}

static double number_of(const json_t *item, const char *key) {
    return json_number_value(json_object_get(item, key));
}

/* Person 1, video 1, as one window on the common grid. */
typedef struct ceap_sample {
    float head[300 * 2], gaze[300 * 3], luminance[300], valence[300], arousal[300];
    uint8_t masks[3][300];
} ceap_sample_t;

static dataset_t *ceap_open(const char *path, ceap_sample_t *s) {
    static const char *const senses[] = {"pose", "gaze", "luminance"};
    static const char *const targets[] = {"valence", "arousal"};
    dataset_config_t config = {.path = path,
                               .window = 300,
                               .rate_hz = 5.0,
                               .modalities = senses,
                               .modality_count = 3,
                               .targets = targets,
                               .target_count = 2};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    float *const features[] = {s->head, s->gaze, s->luminance};
    uint8_t *const mask[] = {s->masks[0], s->masks[1], s->masks[2]};
    float *const target[] = {s->valence, s->arousal};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 0, features, mask, target));
    return dataset;
}

/* The grid shows the last label and the last head sample whose own stamp is not after the time. */
static void check_ceap_sample(const char *source, const ceap_sample_t *s) {
    json_t *videos = ceap_videos(source, "3_AnnotationData/Frame/P1_Annotation_FrameData.json.gz",
                                 "ContinuousAnnotation_FrameData", "Video_Annotation_FrameData");
    const json_t *frames = json_object_get(json_array_get(videos, 0), "TimeStamp_Valence_Arousal");
    size_t at = 0;
    int near = 0;
    for (int t = 0; t < 300; t++) {
        while (number_of(json_array_get(frames, at + 1), "TimeStamp") <= t / 5.0 - 0.01) {
            at++;
        }
        const json_t *frame = json_array_get(frames, at), *next = json_array_get(frames, at + 1);
        float want = (float)((number_of(frame, "Valence") - 5.0) / 4.0);
        float then = (float)((number_of(next, "Valence") - 5.0) / 4.0);
        bool close = number_of(next, "TimeStamp") <= t / 5.0 + 0.01; /* stamps are rounded */
        near += close;
        assert_true(s->valence[t] == want || (close && s->valence[t] == then));
    }
    assert_in_range(near, 0, 200);
    json_decref(videos);
    videos = ceap_videos(source, "4_BehaviorData/HM_ScanPath/P1_Behavior_HeadScanPathData.json.gz",
                         "Behavior_HeadScanPath_Data", "Video_Behavior_ScanPath_Data");
    const json_t *path = json_object_get(json_array_get(videos, 0), "ID_Pitch_Yaw");
    for (int t = 0; t < 299; t++) {
        const json_t *item = json_array_get(path, (size_t)t);
        assert_true(s->head[2 * t] == (float)number_of(item, "Pitch"));
        double turns = (s->head[2 * t + 1] - number_of(item, "Yaw")) / 360.0;
        assert_true(fabs(turns - round(turns)) < 1e-6);
        assert_true(t == 0 || fabsf(s->head[2 * t + 1] - s->head[2 * t - 1]) <= 180.0f);
    }
    assert_true(s->masks[0][298] && !s->masks[0][299]);
    json_decref(videos);
    /* P1, V1 fixates frames 0-9 at (0.775, -0.121) and 22-28 at (2.051, 3.422), 25 a second */
    assert_true(s->gaze[0] == 0.775f && s->gaze[1] == -0.121f && s->gaze[2] == 1.0f);
    assert_true(s->gaze[3 * 2] == 0.775f && s->gaze[3 * 2 + 2] == 0.0f);
    assert_true(s->gaze[3 * 5] == 2.051f && s->gaze[3 * 5 + 1] == 3.422f && s->gaze[17] == 1.0f);
    /* V1 has 1501 frames in 60 s: at 20 s, frame floor(20 * 1501 / 60) = 500 */
    char *file = text_format("%s/1_Stimuli/VideoLuminance.csv.gz", source), *text = NULL;
    size_t bytes;
    CHECK_OK(gzip_read(file, &text, &bytes));
    const char *row = strstr(text, "\n500,") + strlen("\n500,");
    float want = strtof(strchr(row, ',') + 1, NULL); /* behind V0 */
    assert_true(want > 0.0f && s->luminance[100] == want);
    free(text);
    free(file);
}

static void ceap360_has_its_numbers(void **state) {
    (void)state;
    static const char source[] = SHARED_DATA "/ceap360vr_behaviour";
    skip_without(source);
    assert_string_equal(import_recognise(source), "ceap360");
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("ceap360", source, path, NULL, 0));
    static const want_t want[] = {
        {"windows", 256},
        {"windows_unlabelled", 0},
        {"window", 300},
        {"subjects", 32},
        {"recordings", 256},
        {"modalities/pose/dim", 2},
        {"modalities/pose/rate_hz", 5},
        {"modalities/pose/steps", 256 * 299},
        {"modalities/gaze/dim", 3},
        {"modalities/gaze/steps", 32 * (1500 + 7 * 1800)},
        {"modalities/luminance/dim", 1},
        {"targets/valence/steps", 32 * (1499 + 7 * 1799)},
    };
    check_facts(path, want, ARRAY_LEN(want));
    ceap_sample_t s;
    dataset_t *dataset = ceap_open(path, &s);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 256);
    check_ceap_sample(source, &s);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* P1 alone, with two items a list; the first of V1 is `first`. */
static void write_small_ceap(const char *place, int broken, const char *first, const char *id) {
    static const struct {
        const char *dir, *file, *outer, *videos, *items, *item[2];
    } lists[] = {
        {"3_AnnotationData/Frame",
         "P1_Annotation_FrameData.json.gz",
         "ContinuousAnnotation_FrameData",
         "Video_Annotation_FrameData",
         "TimeStamp_Valence_Arousal",
         {"{\"TimeStamp\":0,\"Valence\":5,\"Arousal\":9}",
          "{\"TimeStamp\":60,\"Valence\":5,\"Arousal\":9}"}},
        {"4_BehaviorData/HM_ScanPath",
         "P1_Behavior_HeadScanPathData.json.gz",
         "Behavior_HeadScanPath_Data",
         "Video_Behavior_ScanPath_Data",
         "ID_Pitch_Yaw",
         {"{\"ID\":1,\"Pitch\":1,\"Yaw\":2}", "{\"ID\":2,\"Pitch\":1,\"Yaw\":2}"}},
        {"4_BehaviorData/EM_Fixation",
         "P1_Behavior_FixationData.json.gz",
         "Behavior_FixationData",
         "Video_Behavior_FixationData",
         "Fixation",
         {"{\"StartFrame\":0,\"EndFrame\":4,\"Pitch\":1,\"Yaw\":2}",
          "{\"StartFrame\":8,\"EndFrame\":9,\"Pitch\":1,\"Yaw\":2}"}},
    };
    make_dir(place, "1_Stimuli");
    place_text(place, "1_Stimuli/VideoLuminance.csv.gz",
               "Frame,V0,V1,V2,V3,V4,V5,V6,V7,V8\n0,1,1,1,1,1,1,1,1,1\n");
    for (int f = 0; f < ARRAY_LEN(lists); f++) {
        char *text = text_format("{\"%s\":[{\"%s\":[", lists[f].outer, lists[f].videos);
        for (int v = 0; v < 8; v++) {
            bool here = f == broken && v == 0;
            char *video = text_format("V%d", v + 1);
            char *longer = text_format("%s%s{\"VideoID\":\"%s\",\"%s\":[%s,%s]}", text,
                                       v == 0 ? "" : ",", here ? id : video, lists[f].items,
                                       here ? first : lists[f].item[0], lists[f].item[1]);
            free(video);
            free(text);
            text = longer;
        }
        char *whole = text_format("%s]}]}", text);
        char *name = text_format("%s/%s", lists[f].dir, lists[f].file);
        make_dir(place, lists[f].dir);
        place_text(place, name, whole);
        free(name);
        free(whole);
        free(text);
    }
}

static void broken_ceap_files_are_named(void **state) {
    (void)state;
    static const struct {
        int file;
        const char *first, *id, *error;
    } cases[] = {
        {0, "{\"TimeStamp\":40,\"Valence\":5,\"Arousal\":9}", "V1", "V1: frame 0 at 40 s"},
        {0, "{\"TimeStamp\":0,\"Valence\":null,\"Arousal\":9}", "V1",
         "P1_Annotation_FrameData.json.gz: video V1, item 0: Valence is no number"},
        {0, "{}", "V2", "VideoID \"V2\" is unknown or there twice"},
        {1, "{}", "V9", "P1_Behavior_HeadScanPathData.json.gz: VideoID \"V9\" is unknown"},
        {1, "{\"ID\":2,\"Pitch\":1,\"Yaw\":2}", "V1", "video V1: ID 2 where 1 should be"},
        {2, "{\"StartFrame\":3,\"EndFrame\":2,\"Pitch\":1,\"Yaw\":2}", "V1",
         "fixation 0 from frame 3 to 2"},
        {2, "{\"StartFrame\":3,\"EndFrame\":8,\"Pitch\":1,\"Yaw\":2}", "V1",
         "fixation 1 from frame 8 to 9"},
        {2, "{\"StartFrame\":", "V1", "P1_Behavior_FixationData.json.gz:1: "},
        {3, "", "", "P2_Annotation_FrameData.json.gz: missing or not readable"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_small_ceap(place, cases[i].file, cases[i].first, cases[i].id);
        import_refused("ceap360", place, cases[i].error);
        place_remove(place);
    }
    char *place = place_make(), *path = place_path(place, "data");
    static const char cut[] = {0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b};
    write_small_ceap(place, 3, "", "");
    place_write(place, "1_Stimuli/VideoLuminance.csv.gz", cut, sizeof cut);
    CHECK_FAILS(import_run("ceap360", place, path, NULL, 0), STATUS_INPUT,
                "VideoLuminance.csv.gz: cut off or damaged");
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stress_predict_has_its_numbers),
        cmocka_unit_test(small_stress_windows_are_cut_by_the_rule),
        cmocka_unit_test(broken_stress_files_are_named),
        cmocka_unit_test(ceap360_has_its_numbers),
        cmocka_unit_test(broken_ceap_files_are_named),
    };
    return RUN_TESTS(tests);
}
