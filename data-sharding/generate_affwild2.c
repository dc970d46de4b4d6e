/* generate_affwild2.c - raw media exactly as Aff-Wild2 is distributed, of nobody: faces are drawn,
 * voices are tones, and what can be told from them at best is known (raw_world.h). */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/generators.h"
#include "data-sharding/media_write.h"
#include "data-sharding/raw_face.h"
#include "data-sharding/raw_world.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { VIDEOS, TEST_VIDEOS, SECONDS, FPS, SIDE, SEED, LABEL_NOISE, OPTIONS };
static const import_option_t options[OPTIONS] = {
    [VIDEOS] = {"videos", 40, 2, 1e5, true,
                "of Train_Set; of every fourth two people are labelled"},
    [TEST_VIDEOS] = {"test_videos", 12, 1, 1e5, true, "of Validation_Set"},
    [SECONDS] = {"seconds", 40, 1, 1e4, false, "of each video"},
    [FPS] = {"fps", 30, 1, 120, true, "pictures a second"},
    [SIDE] = {"side", 112, 16, 1024, true, "width and height of a face"},
    [SEED] = {"seed", 1, 0, 9007199254740992.0, true, "of all random numbers"},
    [LABEL_NOISE] = {"label_noise", 0.1, 0, 0.1, false,
                     "most that a label is off by what nothing tells"},
};

enum { SOUND_HZ = 44100, IGNORED_LINES = 5, GAP_FIRST = 20, GAP_FRAMES = 12, PARTS = 3 };
static const char *const challenge = "6th ABAW Annotations/VA_Estimation_Challenge";
static const char *const sets[] = {"Train_Set", "Validation_Set"};
static const char *const target_names[SYNTHETIC_TARGETS] = {"valence", "arousal"};
static const char *const looked_at[WORLD_SETS] = {"video", "audio", "all"};

typedef struct world {
    const double *values;
    const char *out;
    uint64_t seed;
    int64_t frames;
    FILE *moods; /* recording,frame,seen,heard */
    synthetic_sums_t sums[2][WORLD_SETS][SYNTHETIC_TARGETS];
} world_t;

/* A person in a video. */
typedef struct face {
    const world_t *world;
    int64_t person, voice;
    mood_t mood; /* of the voice */
} face_t;

static double time_of(const world_t *w, int64_t frame) { return (double)frame / w->values[FPS]; }

static double seen(const world_t *w, int64_t person, int64_t frame) {
    return world_mood(w->seed, "raw.face", person, time_of(w, frame));
}

static double heard(const world_t *w, int64_t voice, int64_t frame) {
    return world_mood(w->seed, "raw.voice", voice, time_of(w, frame));
}

/* --- files ------------------------------------------------------------------------------------ */

static void judge(world_t *w, int test, double s, double h, const double labels[]) {
    for (int set = 0; set < WORLD_SETS; set++) {
        double best[SYNTHETIC_TARGETS];
        world_best(set, s, h, best);
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            synthetic_sums_add(&w->sums[test][set][k], labels[k], best[k]);
        }
    }
}

static status_t write_annotation(world_t *w, const face_t *face, int test, const char *name) {
    char *path = text_format("%s/%s/%s/%s.txt", w->out, challenge, sets[test], name);
    FILE *file = fopen(path, "w");
    status_t status = file != NULL ? STATUS_OK : generate_full(path);
    if (file != NULL) {
        fprintf(file, "valence,arousal\n");
    }
    for (int64_t i = 0; i < w->frames && file != NULL; i++) {
        double s = seen(w, face->person, i), h = heard(w, face->voice, i);
        double labels[SYNTHETIC_TARGETS];
        world_best(WORLD_BOTH, s, h, labels);
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            labels[k] += world_label_noise(w->seed, face->person, i, k, w->values[LABEL_NOISE]);
        }
        bool ignored = i < IGNORED_LINES;
        fprintf(file, "%.6f,%.6f\n", ignored ? -5.0 : labels[0], ignored ? -5.0 : labels[1]);
        fprintf(w->moods, "%s,%lld,%.9f,%.9f\n", name, (long long)i + 1, s, h);
        if (!ignored) {
            judge(w, test, s, h, labels);
        }
    }
    if (file != NULL && fclose(file) != 0) {
        status = generate_full(path);
    }
    free(path);
    return status;
}

/* Some frames of every third person have no face, as where it was not found. */
static status_t write_faces(const world_t *w, const face_t *face, const char *name) {
    int side = (int)w->values[SIDE];
    char *folder = text_format("%s/cropped_aligned/%s", w->out, name);
    uint8_t *grey = alloc_zero((int64_t)side * side, 1);
    uint8_t *rgb = alloc_zero((int64_t)side * side, 3);
    status_t status = dir_make(folder);
    for (int64_t i = 0; i < w->frames && status == STATUS_OK; i++) {
        if (face->person % 3 == 2 && i >= GAP_FIRST && i < GAP_FIRST + GAP_FRAMES) {
            continue;
        }
        raw_face_draw(seen(w, face->person, i), side, grey);
        raw_face_colour(grey, side, rgb);
        char *path = text_format("%s/%05lld.jpg", folder, (long long)i + 1);
        status = media_write_jpeg(path, rgb, side);
        free(path);
    }
    free(rgb);
    free(grey);
    free(folder);
    return status;
}

static void draw_frame(const void *context, int64_t frame, uint8_t *grey_out) {
    const face_t *face = context;
    raw_face_draw(seen(face->world, face->person, frame), (int)face->world->values[SIDE], grey_out);
}

/* Three parts of a tone of 220 Hz, together 26 dB below the full scale, and 10 dB up or down. */
static double sound_of(const void *context, int64_t sample) {
    const face_t *face = context;
    double time = (double)sample / SOUND_HZ, sum = 0.0;
    double mood = world_mood_at(face->mood, time);
    for (int part = 1; part <= PARTS; part++) {
        sum += sin(2.0 * M_PI * 220.0 * part * time) / PARTS;
    }
    return pow(10.0, (-16.0 + 10.0 * mood) / 20.0) * sum;
}

/* Pictures of the video itself nobody looks at: it has the first person's face. */
static status_t write_video(const world_t *w, const face_t *face, const char *name) {
    written_video_t video = {
        .side = (int)w->values[SIDE],
        .fps = (int)w->values[FPS],
        .frames = w->frames,
        .rate_hz = SOUND_HZ,
        .samples = (int64_t)((double)w->frames / w->values[FPS] * SOUND_HZ),
        .draw = draw_frame,
        .sound = sound_of,
        .context = face,
    };
    char *path = text_format("%s/batch%d/%s.mp4", w->out, face->voice % 2 == 0 ? 1 : 2, name);
    status_t status = media_write_video(path, &video);
    free(path);
    return status;
}

static status_t write_one(world_t *w, int64_t voice, int64_t person, int test, const char *video,
                          const char *end) {
    face_t face = {.world = w,
                   .person = person,
                   .voice = voice,
                   .mood = world_mood_of(w->seed, "raw.voice", voice)};
    char *name = text_format("%s%s", video, end);
    status_t status = write_annotation(w, &face, test, name);
    if (status == STATUS_OK) {
        status = write_faces(w, &face, name);
    }
    if (status == STATUS_OK && strcmp(end, "_right") != 0) {
        status = write_video(w, &face, video);
    }
    free(name);
    return status;
}

static status_t write_videos(world_t *w) {
    int64_t train = (int64_t)w->values[VIDEOS], all = train + (int64_t)w->values[TEST_VIDEOS];
    status_t status = STATUS_OK;
    for (int64_t i = 0, person = 0; i < all && status == STATUS_OK; i++) {
        char *video = text_format("%lld-%d-%dx%d", (long long)i + 1, (int)w->values[FPS],
                                  (int)w->values[SIDE], (int)w->values[SIDE]);
        int test = i >= train;
        bool two = i % 4 == 1;
        status = write_one(w, i, person++, test, video, two ? "_left" : "");
        if (two && status == STATUS_OK) {
            status = write_one(w, i, person++, test, video, "_right");
        }
        free(video);
    }
    return status;
}

/* --- the optimum ------------------------------------------------------------------------------ */

/* As in a dataset.json of jmt shard synthetic. */
static json_t *optimum_of(const world_t *w) {
    json_t *targets = json_object();
    for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
        json_t *row = json_object();
        for (int set = 0; set < WORLD_SETS; set++) {
            const synthetic_sums_t *test = &w->sums[1][set][k];
            double stretch = synthetic_stretch(&w->sums[0][set][k]);
            json_object_set_new(row, looked_at[set],
                                json_pack("{s:f, s:f, s:f, s:f}", "mse", synthetic_mse(test), "r",
                                          synthetic_r(test), "ccc", synthetic_ccc(test, stretch),
                                          "stretch", stretch));
        }
        json_object_set_new(targets, target_names[k], row);
    }
    return json_pack("{s:s, s:I, s:o}", "split", "test", "labels",
                     (json_int_t)w->sums[1][0][0].count, "targets", targets);
}

static status_t fill(world_t *w) {
    static const char *const folders[] = {"batch1", "batch2", "cropped_aligned"};
    for (int i = 0; i < 2 + ARRAY_LEN(folders); i++) {
        char *path = i < 2 ? text_format("%s/%s/%s", w->out, challenge, sets[i])
                           : text_format("%s/%s", w->out, folders[i - 2]);
        status_t status = dir_make(path);
        free(path);
        TRY(status);
    }
    TRY(generate_begin(w->out, "moods.csv", &w->moods));
    fprintf(w->moods, "recording,frame,seen,heard\n");
    status_t status = write_videos(w);
    if (fclose(w->moods) != 0 && status == STATUS_OK) {
        status = generate_full(w->out);
    }
    TRY(status);
    return generate_optimum(w->out, &generator_affwild2, w->values, optimum_of(w));
}

static status_t generate(const import_job_t *job) {
    world_t world = {.values = job->values,
                     .out = job->out,
                     .seed = (uint64_t)job->values[SEED],
                     .frames = llround(job->values[SECONDS] * job->values[FPS])};
    return fill(&world);
}

const importer_t generator_affwild2 = {
    .name = "affwild2",
    .summary = "faces, voices and VA annotations as Aff-Wild2 has them",
    .options = options,
    .option_count = OPTIONS,
    .run = generate,
};
