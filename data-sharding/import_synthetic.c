#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "data-sharding/synthetic_model.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { RATE_HZ = 5, SENSE_SETS = 3, DEFAULT_SHARDS = 4 };

typedef enum {
    OPTION_RECORDINGS,
    OPTION_SUBJECTS,
    OPTION_TEST_RECORDINGS,
    OPTION_TEST_SUBJECTS,
    OPTION_MIN_STEPS,
    OPTION_MAX_STEPS,
    OPTION_SEED,
    OPTION_NOISE,
    OPTION_LABEL_NOISE,
    OPTION_DROPOUT,
    OPTION_LABEL_DROPOUT,
    OPTION_SMOOTH,
    OPTION_INTERACTION,
    OPTION_COUNT
} option_t;

static const import_option_t options[OPTION_COUNT] = {
    [OPTION_RECORDINGS] = {"recordings", 120, 1, 1e6, true, "training recordings"},
    [OPTION_SUBJECTS] = {"subjects", 40, 1, 1e5, true, "people in them"},
    [OPTION_TEST_RECORDINGS] = {"test_recordings", 40, 1, 1e6, true, "test recordings"},
    [OPTION_TEST_SUBJECTS] = {"test_subjects", 16, 1, 1e5, true, "people in them"},
    [OPTION_MIN_STEPS] = {"min_steps", 16, 1, 1e6, true, "steps of the shortest recording"},
    [OPTION_MAX_STEPS] = {"max_steps", 48, 1, 1e6, true, "steps of the longest recording"},
    [OPTION_SEED] = {"seed", 1, 0, 9007199254740992.0, true, "of all random numbers"},
    [OPTION_NOISE] = {"noise", 0.5, 0.01, 100, false, "sd of feature noise beside latents of 1"},
    [OPTION_LABEL_NOISE] = {"label_noise", 0.2, 0, 100, false, "sd beside a signal of 1"},
    [OPTION_DROPOUT] = {"dropout", 0.05, 0, 0.5, false, "share of steps without video; also audio"},
    [OPTION_LABEL_DROPOUT] = {"label_dropout", 0.02, 0, 0.9, false, "share of labels not valid"},
    [OPTION_SMOOTH] = {"smooth", 0, 0, 0.999, false, "correlation of latents step to step"},
    [OPTION_INTERACTION] = {"interaction", 0, 0, 1, false, "share of signal that is a product"},
};

static const char *const target_names[SYNTHETIC_TARGETS] = {"valence", "arousal"};
static const char *const set_names[SENSE_SETS] = {"all", "video", "audio"};
static const unsigned set_bits[SENSE_SETS] = {1u << SENSE_VIDEO | 1u << SENSE_AUDIO,
                                              1u << SENSE_VIDEO, 1u << SENSE_AUDIO};

enum { TRACK_VIDEO, TRACK_AUDIO, TRACK_NOISE, TRACK_TARGET, TRACKS = TRACK_TARGET + 2 };
static const writer_track_t tracks[TRACKS] = {
    {"video", false, SYNTHETIC_VIDEO_DIM},
    {"audio", false, SYNTHETIC_AUDIO_DIM},
    {"noise", false, SYNTHETIC_NOISE_DIM},
    {"valence", true, 1},
    {"arousal", true, 1},
};

typedef struct world {
    const double *values; /* options */
    synthetic_model_t model;
    float *data[TRACKS];
    uint8_t *valid[TRACKS];
    double *mean[SYNTHETIC_TARGETS];
    synthetic_sums_t sums[2][SENSE_SETS][SYNTHETIC_TARGETS]; /* [training, test] */
} world_t;

static void world_open(const double *values, world_t *world) {
    *world = (world_t){.values = values};
    synthetic_config_t config = {
        .seed = (uint64_t)values[OPTION_SEED],
        .dropout = values[OPTION_DROPOUT],
        .noise = values[OPTION_NOISE],
        .label_noise = values[OPTION_LABEL_NOISE],
        .smooth = values[OPTION_SMOOTH],
        .interaction = values[OPTION_INTERACTION],
    };
    synthetic_model_init(&config, &world->model);
    int64_t steps = (int64_t)values[OPTION_MAX_STEPS];
    for (int i = 0; i < TRACKS; i++) {
        world->data[i] = alloc_zero(steps * tracks[i].dim, sizeof(float));
        world->valid[i] = alloc_zero(steps, 1);
    }
    for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
        world->mean[k] = alloc_zero(steps, sizeof(double));
    }
}

static void world_close(world_t *world) {
    for (int i = 0; i < TRACKS; i++) {
        free(world->data[i]);
        free(world->valid[i]);
    }
    for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
        free(world->mean[k]);
    }
}

static void draw_rest(world_t *world, int64_t recording, int64_t steps) {
    uint64_t seed = world->model.config.seed, turn = (uint64_t)recording;
    rng_key_t noise = {seed, rng_name("synthetic.noise"), turn};
    for (int64_t i = 0; i < steps * SYNTHETIC_NOISE_DIM; i++) {
        world->data[TRACK_NOISE][i] = (float)rng_normal(noise, (uint64_t)i);
    }
    rng_key_t noise_drop = {seed, rng_name("synthetic.noise.dropout"), turn};
    rng_key_t label_drop = {seed, rng_name("synthetic.label.dropout"), turn};
    for (int64_t t = 0; t < steps; t++) {
        world->valid[TRACK_NOISE][t] =
            rng_uniform(noise_drop, (uint64_t)t) >= world->values[OPTION_DROPOUT];
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            uint64_t index = (uint64_t)(t * SYNTHETIC_TARGETS + k);
            world->valid[TRACK_TARGET + k][t] =
                rng_uniform(label_drop, index) >= world->values[OPTION_LABEL_DROPOUT];
        }
    }
    for (int i = 0; i < TRACKS; i++) { /* what is not valid holds zeros */
        for (int64_t t = 0; t < steps; t++) {
            if (world->valid[i][t] == 0) {
                memset(world->data[i] + t * tracks[i].dim, 0,
                       (size_t)tracks[i].dim * sizeof(float));
            }
        }
    }
}

static void judge_best(world_t *world, int64_t steps, int test) {
    const float *const features[SENSE_COUNT] = {world->data[TRACK_VIDEO], world->data[TRACK_AUDIO]};
    const uint8_t *const valid[SENSE_COUNT] = {world->valid[TRACK_VIDEO],
                                               world->valid[TRACK_AUDIO]};
    for (int set = 0; set < SENSE_SETS; set++) {
        synthetic_best(&world->model, steps, set_bits[set], features, valid, world->mean);
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            for (int64_t t = 0; t < steps; t++) {
                if (world->valid[TRACK_TARGET + k][t] != 0) {
                    synthetic_sums_add(&world->sums[test][set][k], world->data[TRACK_TARGET + k][t],
                                       world->mean[k][t]);
                }
            }
        }
    }
}

static status_t add_recording(world_t *world, dataset_writer_t *writer, int64_t recording,
                              int64_t subject, int test) {
    const double *v = world->values;
    int64_t least = (int64_t)v[OPTION_MIN_STEPS], most = (int64_t)v[OPTION_MAX_STEPS];
    rng_key_t key = {world->model.config.seed, rng_name("synthetic.length"), 0};
    int64_t steps =
        least + (int64_t)rng_below(key, (uint64_t)recording, (uint64_t)(most - least + 1));
    float *const features[SENSE_COUNT] = {world->data[TRACK_VIDEO], world->data[TRACK_AUDIO]};
    uint8_t *const valid[SENSE_COUNT] = {world->valid[TRACK_VIDEO], world->valid[TRACK_AUDIO]};
    synthetic_draw(&world->model, recording, steps, features, valid, &world->data[TRACK_TARGET]);
    draw_rest(world, recording, steps);
    judge_best(world, steps, test);
    writer_signal_t signals[TRACKS];
    for (int i = 0; i < TRACKS; i++) {
        signals[i] = (writer_signal_t){world->data[i], world->valid[i], steps, RATE_HZ};
    }
    char *name = text_format("recording-%04lld", (long long)recording + 1);
    writer_recording_t row = {.name = name, .session = "", .group = "", .subject = subject};
    row.split = test ? "test" : "train";
    row.signals = signals;
    status_t status = dataset_writer_add(writer, &row);
    free(name);
    return status;
}

static json_t *optimum_of(const world_t *world, int target) {
    json_t *sets = json_object();
    for (int set = 0; set < SENSE_SETS; set++) {
        const synthetic_sums_t *test = &world->sums[1][set][target];
        double stretch = synthetic_stretch(&world->sums[0][set][target]);
        json_object_set_new(sets, set_names[set],
                            json_pack("{s:f, s:f, s:f}", "mse", synthetic_mse(test), "r",
                                      synthetic_r(test), "ccc", synthetic_ccc(test, stretch)));
    }
    return sets;
}

/* mse: of the posterior mean. ccc: of the posterior mean stretched to the targets' spread (measured
 * on the training split), which no predictor beats in expectation. */
static char *facts_of(const world_t *world) {
    json_t *targets = json_object(), *chosen = json_object();
    for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
        json_object_set_new(targets, target_names[k], optimum_of(world, k));
    }
    for (int i = 0; i < OPTION_COUNT; i++) {
        json_object_set_new(chosen, options[i].name,
                            options[i].integer ? json_integer((json_int_t)world->values[i])
                                               : json_real(world->values[i]));
    }
    json_t *root =
        json_pack("{s:o, s:{s:s, s:I, s:o}}", "options", chosen, "optimum", "split", "test",
                  "labels", (json_int_t)world->sums[1][0][0].count, "targets", targets);
    char *text = json_dumps(root, JSON_REAL_PRECISION(12));
    json_decref(root);
    return text;
}

static status_t fill(const import_job_t *job, world_t *world, dataset_writer_t *writer) {
    const double *v = job->values;
    int64_t counts[2] = {(int64_t)v[OPTION_RECORDINGS], (int64_t)v[OPTION_TEST_RECORDINGS]};
    int64_t people[2] = {(int64_t)v[OPTION_SUBJECTS], (int64_t)v[OPTION_TEST_SUBJECTS]};
    int64_t recording = 0;
    for (int test = 0; test < 2; test++) {
        for (int64_t i = 0; i < counts[test]; i++) {
            int64_t subject = (test ? people[0] : 0) + i * people[test] / counts[test];
            TRY(add_recording(world, writer, recording++, subject, test));
        }
    }
    char *facts = facts_of(world);
    status_t status = dataset_writer_publish(writer, facts);
    free(facts);
    return status;
}

static status_t check_options(const double *v) {
    if (v[OPTION_SUBJECTS] > v[OPTION_RECORDINGS] ||
        v[OPTION_TEST_SUBJECTS] > v[OPTION_TEST_RECORDINGS]) {
        return status_fail(STATUS_INPUT,
                           "options subjects, test_subjects: more people than recordings; use at "
                           "most as many");
    }
    if (v[OPTION_MIN_STEPS] > v[OPTION_MAX_STEPS]) {
        return status_fail(STATUS_INPUT,
                           "option min_steps: above max_steps; use at most max_steps");
    }
    return STATUS_OK;
}

static status_t import_synthetic(const import_job_t *job) {
    TRY(check_options(job->values));
    int64_t subjects =
        (int64_t)job->values[OPTION_SUBJECTS] + (int64_t)job->values[OPTION_TEST_SUBJECTS];
    char **names = alloc_zero(subjects, sizeof *names);
    for (int64_t i = 0; i < subjects; i++) {
        names[i] = text_format("person-%04lld", (long long)i + 1);
    }
    writer_config_t config = {
        .out = job->out,
        .importer = "synthetic",
        .source = "generated by jmt; dataset.json holds the options and the optimum",
        .licence = "CC0-1.0",
        .terms = "no person behind it; free for any use",
        .salt = job->salt,
        .subjects = (const char *const *)names,
        .subject_count = subjects,
        .recording_count =
            (int64_t)job->values[OPTION_RECORDINGS] + (int64_t)job->values[OPTION_TEST_RECORDINGS],
        .shards = job->shards > 0 ? job->shards : DEFAULT_SHARDS,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    if (status == STATUS_OK) {
        world_t world;
        world_open(job->values, &world);
        status = fill(job, &world, writer);
        world_close(&world);
    }
    dataset_writer_close(writer);
    for (int64_t i = 0; i < subjects; i++) {
        free(names[i]);
    }
    free(names);
    return status;
}

const importer_t importer_synthetic = {
    .name = "synthetic",
    .summary =
        "generated video, audio and noise with a known best predictor of valence and arousal",
    .options = options,
    .option_count = OPTION_COUNT,
    .run = import_synthetic,
};
