/* The synthetic set and its optimum: against textbook formulas, and through the files. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "data-sharding/manifest.h"
#include "data-sharding/synthetic_model.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { STEPS = 48, TARGETS = SYNTHETIC_TARGETS, NOISE = SYNTHETIC_NOISE_DIM };
enum { ALL = 3, VIDEO = 1 << SENSE_VIDEO, AUDIO = 1 << SENSE_AUDIO };
static const int dims[3] = {SYNTHETIC_VIDEO_DIM, SYNTHETIC_AUDIO_DIM, NOISE};

typedef struct take {
    float *features[3], *target[TARGETS];
    uint8_t *mask[3];
    double *mean[TARGETS];
} take_t;

static take_t make_take(void) {
    take_t take;
    for (int m = 0; m < 3; m++) {
        take.features[m] = alloc_zero(STEPS * dims[m], sizeof(float));
        take.mask[m] = alloc_zero(STEPS, 1);
    }
    for (int k = 0; k < TARGETS; k++) {
        take.target[k] = alloc_zero(STEPS, sizeof(float));
        take.mean[k] = alloc_zero(STEPS, sizeof(double));
    }
    return take;
}

static void free_take(take_t *take) {
    for (int m = 0; m < 3; m++) {
        free(take->features[m]);
        free(take->mask[m]);
    }
    for (int k = 0; k < TARGETS; k++) {
        free(take->target[k]);
        free(take->mean[k]);
    }
}

static void predict(const synthetic_model_t *model, int64_t steps, unsigned senses,
                    const take_t *take) {
    const float *const features[] = {take->features[0], take->features[1]};
    const uint8_t *const mask[] = {take->mask[0], take->mask[1]};
    synthetic_best(model, steps, senses, features, mask, take->mean);
}

static void draw(const synthetic_model_t *model, int64_t recording, const take_t *take) {
    float *const features[] = {take->features[0], take->features[1]};
    uint8_t *const mask[] = {take->mask[0], take->mask[1]};
    synthetic_draw(model, recording, STEPS, features, mask, take->target);
}

/* Of two sequences, in double, as the textbook has them. */
typedef struct pairs {
    double n, x, y, xx, yy, xy, square_error;
} pairs_t;

static void add_pair(pairs_t *p, double x, double y) {
    p->n += 1;
    p->x += x;
    p->y += y;
    p->xx += x * x;
    p->yy += y * y;
    p->xy += x * y;
    p->square_error += (x - y) * (x - y);
}

static double correlation(const pairs_t *p) {
    double covariance = p->xy / p->n - p->x * p->y / p->n / p->n;
    double vx = p->xx / p->n - p->x * p->x / p->n / p->n;
    double vy = p->yy / p->n - p->y * p->y / p->n / p->n;
    return covariance / sqrt(vx * vy);
}

/* ---- the optimum against conditioned normals ---- */

enum { SHORT = 12, INFORMED = SYNTHETIC_INFORMED, LATENT = SYNTHETIC_LATENT };
enum { EQUATIONS = SHORT * INFORMED };

/* Solves the symmetric positive definite a x = b (n x n, row-major) by Cholesky; both are used
 * up. */
static void solve(int n, double *a, double *b) {
    for (int j = 0; j < n; j++) {
        for (int i = j; i < n; i++) {
            double sum = a[i * n + j];
            for (int k = 0; k < j; k++) {
                sum -= a[i * n + k] * a[j * n + k];
            }
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) {
            b[i] -= a[i * n + k] * b[k];
        }
        b[i] /= a[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) {
            b[i] -= a[k * n + i] * b[k];
        }
        b[i] /= a[i * n + i];
    }
}

/* E[z | x] of a sense from the covariances of everything seen, x = M' z + noise n, with
 * cov(z_k(t), z_k(s)) = smooth^|t-s|: cov(z, x) cov(x, x)^-1 x. latents [SHORT, LATENT]. */
static void condition(const synthetic_model_t *model, int sense, const take_t *take,
                      double *latents) {
    static double gram[EQUATIONS * EQUATIONS];
    double x[EQUATIONS], a = model->config.smooth, r = model->config.noise * model->config.noise;
    int step[EQUATIONS], feature[EQUATIONS], n = 0;
    for (int t = 0; t < SHORT; t++) {
        for (int d = 0; d < INFORMED && take->mask[sense][t] != 0; d++) {
            step[n] = t;
            feature[n] = d;
            x[n++] = take->features[sense][t * dims[sense] + d];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double shared = 0.0;
            for (int k = 0; k < LATENT; k++) {
                shared += model->mix[sense][k][feature[i]] * model->mix[sense][k][feature[j]];
            }
            gram[i * n + j] = pow(a, abs(step[i] - step[j])) * shared + (i == j ? r : 0.0);
        }
    }
    solve(n, gram, x);
    memset(latents, 0, SHORT * LATENT * sizeof *latents);
    for (int t = 0; t < SHORT; t++) {
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < LATENT; k++) {
                latents[t * LATENT + k] +=
                    pow(a, abs(t - step[i])) * model->mix[sense][k][feature[i]] * x[i];
            }
        }
    }
}

static double along(const double *weight, const double *latent) {
    double sum = 0.0;
    for (int k = 0; k < LATENT; k++) {
        sum += weight[k] * latent[k];
    }
    return sum;
}

/* 1e-9: a solve of 96 equations, condition at most 1 + 96 / noise^2 = 385, in double, from floats
 * that both sides read alike. */
static void the_optimum_is_the_conditional_mean(void **state) {
    (void)state;
    static const double worlds[][2] = {
        {0.0, 0.0}, {0.9, 0.0}, {0.6, 0.3}}; /* smooth, interaction */
    take_t take = make_take();
    for (int w = 0; w < ARRAY_LEN(worlds); w++) {
        synthetic_config_t config = {.seed = 5 + (uint64_t)w, .dropout = 0.2, .noise = 0.5};
        config.smooth = worlds[w][0];
        config.interaction = worlds[w][1];
        synthetic_model_t model;
        synthetic_model_init(&config, &model);
        draw(&model, 3, &take);
        memset(take.mask[SENSE_VIDEO] + 4, 0, 3);
        predict(&model, SHORT, ALL, &take);
        double z[2][SHORT * LATENT], share = config.interaction;
        condition(&model, SENSE_VIDEO, &take, z[0]);
        condition(&model, SENSE_AUDIO, &take, z[1]);
        for (int k = 0; k < TARGETS; k++) {
            for (int t = 0; t < SHORT; t++) {
                const double *v = z[0] + t * LATENT, *a = z[1] + t * LATENT;
                double sum = along(model.weight[0][k], v) + along(model.weight[1][k], a);
                double product =
                    along(model.weight[0][2 + k], v) * along(model.weight[1][2 + k], a);
                double want = 0.25 * (sqrt((1 - share) / 2) * sum + sqrt(share) * product);
                assert_true(fabs(take.mean[k][t] - want) < 1e-9);
            }
        }
    }
    free_take(&take);
}

/* Neither a scaled version, nor one that believes in other noise, nor one sense has less error. */
static void nothing_beats_the_optimum(void **state) {
    (void)state;
    enum { VARIANTS = 7 };
    static const double noise[VARIANTS] = {0.5, 0.25, 1.0, 0.5, 0.5, 0.5, 0.5};
    static const double scale[VARIANTS] = {1, 1, 1, 0.9, 1.1, 1, 1};
    static const unsigned senses[VARIANTS] = {ALL, ALL, ALL, ALL, ALL, VIDEO, AUDIO};
    synthetic_config_t config = {.seed = 7, .dropout = 0.1, .noise = 0.5, .smooth = 0.5};
    synthetic_model_t model;
    synthetic_model_init(&config, &model);
    pairs_t pairs[VARIANTS] = {0};
    take_t take = make_take();
    for (int64_t r = 0; r < 100; r++) {
        draw(&model, r, &take);
        for (int v = 0; v < VARIANTS; v++) {
            synthetic_model_t believed = model;
            believed.config.noise = noise[v];
            predict(&believed, STEPS, senses[v], &take);
            for (int t = 0; t < STEPS; t++) {
                add_pair(&pairs[v], scale[v] * take.mean[0][t], take.target[0][t]);
            }
        }
    }
    for (int v = 1; v < VARIANTS; v++) {
        assert_true(pairs[0].square_error < pairs[v].square_error);
    }
    free_take(&take);
}

/* A masked step is bridged, not read. */
static void what_is_masked_does_not_matter(void **state) {
    (void)state;
    synthetic_config_t config = {.seed = 3, .noise = 0.5, .smooth = 0.8};
    synthetic_model_t model;
    synthetic_model_init(&config, &model);
    take_t take = make_take();
    double before[STEPS];
    draw(&model, 0, &take);
    memset(take.mask[1] + 20, 0, 10);
    predict(&model, STEPS, ALL, &take);
    memcpy(before, take.mean[1], sizeof before);
    for (int i = 20 * dims[1]; i < 30 * dims[1]; i++) {
        take.features[1][i] = NAN;
    }
    predict(&model, STEPS, ALL, &take);
    assert_memory_equal(before, take.mean[1], sizeof before);
    assert_true(isfinite(before[25]));
    free_take(&take);
}

/* ---- through the files ---- */

static dataset_t *open_synthetic(const char *path) {
    static const char *const modalities[] = {"video", "audio", "noise"};
    static const char *const targets[] = {"valence", "arousal"};
    dataset_config_t config = {.path = path,
                               .window = STEPS,
                               .valid_fraction = 0.2,
                               .split_seed = 1,
                               .modalities = modalities,
                               .modality_count = 3,
                               .targets = targets,
                               .target_count = TARGETS};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    return dataset;
}

typedef struct scores {
    pairs_t best[3][TARGETS];      /* from all, video, audio */
    pairs_t noise[NOISE][TARGETS]; /* a feature with a target */
} scores_t;

static void score_test_split(const dataset_t *dataset, const synthetic_model_t *model,
                             scores_t *scores) {
    static const unsigned senses[3] = {ALL, VIDEO, AUDIO};
    take_t take = make_take();
    for (int64_t i = 0; i < dataset_sample_count(dataset, SPLIT_TEST); i++) {
        CHECK_OK(dataset_read(dataset, SPLIT_TEST, i, take.features, take.mask, take.target));
        for (int set = 0; set < 3; set++) {
            predict(model, STEPS, senses[set], &take);
            for (int j = 0; j < TARGETS * STEPS; j++) {
                float y = take.target[j / STEPS][j % STEPS];
                if (!isnan(y)) {
                    add_pair(&scores->best[set][j / STEPS], take.mean[j / STEPS][j % STEPS], y);
                }
            }
        }
        for (int j = 0; j < NOISE * TARGETS * STEPS; j++) {
            int d = j / (TARGETS * STEPS), k = j / STEPS % TARGETS, t = j % STEPS;
            if (take.mask[2][t] != 0 && !isnan(take.target[k][t])) {
                add_pair(&scores->noise[d][k], take.features[2][t * NOISE + d], take.target[k][t]);
            }
        }
    }
    free_take(&take);
}

static double noted(const char *path, const char *target, const char *set, const char *what) {
    manifest_t manifest;
    CHECK_OK(manifest_read(path, &manifest));
    json_t *facts = json_loads(manifest.facts, 0, NULL);
    json_t *targets = json_object_get(json_object_get(facts, "optimum"), "targets");
    json_t *number = json_object_get(json_object_get(json_object_get(targets, target), set), what);
    assert_true(json_is_real(number));
    double value = json_real_value(number);
    json_decref(facts);
    manifest_free(&manifest);
    return value;
}

/* y = (w_v z_v + w_a z_a) / sqrt(2) / 4 + e / 20, both senses lost a share p of the time and never
 * at once: with g = 1 / (1 + noise^2), both explain g (1 - p) / 16, one half of it. Steps are
 * independent, so with n labels the mean square error has a relative deviation of sqrt(2 / n), the
 * correlation r one of (1 - r^2) / sqrt(n), and that of noise one of 1 / sqrt(n); 4.5 of them have
 * a chance of 7e-6 each. */
static void the_imported_set_has_its_optimum(void **state) {
    (void)state;
    static const char *const sets[] = {"test_recordings=100", "label_dropout=0.1"};
    static const char *const names[3] = {"all", "video", "audio"};
    static const char *const targets[TARGETS] = {"valence", "arousal"};
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("synthetic", NULL, path, sets, 2));
    dataset_t *dataset = open_synthetic(path);
    assert_int_equal(dataset_subject_count(dataset, SPLIT_TRAIN), 32);
    assert_int_equal(dataset_subject_count(dataset, SPLIT_VALID), 8);
    assert_int_equal(dataset_subject_count(dataset, SPLIT_TEST), 16);
    synthetic_config_t config = {.seed = 1, .dropout = 0.05, .noise = 0.5, .label_noise = 0.2};
    synthetic_model_t model;
    synthetic_model_init(&config, &model);
    scores_t scores = {0};
    score_test_split(dataset, &model, &scores);
    double g = 1.0 / 1.25, label = 1.04;
    for (int k = 0; k < TARGETS; k++) {
        for (int set = 0; set < 3; set++) {
            const pairs_t *p = &scores.best[set][k];
            double explained = g * 0.95 / (set == 0 ? 1.0 : 2.0), r = sqrt(explained / label);
            double mse = (label - explained) / 16.0, found = p->square_error / p->n;
            assert_true(fabs(found / mse - 1.0) < 4.5 * sqrt(2.0 / p->n));
            assert_true(fabs(correlation(p) - r) < 4.5 * (1.0 - r * r) / sqrt(p->n));
            assert_true(fabs(noted(path, targets[k], names[set], "mse") - found) < 1e-9);
            assert_true(fabs(noted(path, targets[k], names[set], "r") - correlation(p)) < 1e-9);
            /* Stretched to the targets' spread, and unbiased: the CCC is the correlation, up to
             * what the spreads of training and test differ by, about 1 / sqrt(n). */
            double ccc = noted(path, targets[k], names[set], "ccc");
            assert_true(fabs(ccc - r) < 4.5 * (1.0 - r * r) / sqrt(p->n));
            print_message("# %s from %s: r %.3f, by the formula %.3f\n", targets[k], names[set],
                          correlation(p), r);
        }
        assert_true(correlation(&scores.best[0][k]) > correlation(&scores.best[1][k]) + 0.2);
        assert_true(correlation(&scores.best[0][k]) > correlation(&scores.best[2][k]) + 0.2);
        for (int d = 0; d < NOISE; d++) {
            const pairs_t *p = &scores.noise[d][k];
            assert_true(p->n > 2000 && fabs(correlation(p)) < 4.5 / sqrt(p->n));
        }
    }
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void the_same_options_give_the_same_bytes(void **state) {
    (void)state;
    static const char *const sets[][2] = {
        {"noise=0.7", "seed=4"}, {"noise=0.7", "seed=4"}, {"noise=0.7", "seed=5"}};
    char *place = place_make();
    char identity[3][SHA256_TEXT_BYTES];
    for (int i = 0; i < 3; i++) {
        char *path = text_format("%s/data%d", place, i);
        CHECK_OK(import_run("synthetic", NULL, path, sets[i], 2));
        dataset_t *dataset = open_synthetic(path);
        memcpy(identity[i], dataset_identity(dataset), SHA256_TEXT_BYTES);
        dataset_close(dataset);
        free(path);
    }
    assert_string_equal(identity[0], identity[1]);
    assert_string_not_equal(identity[0], identity[2]);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum_is_the_conditional_mean),
        cmocka_unit_test(nothing_beats_the_optimum),
        cmocka_unit_test(what_is_masked_does_not_matter),
        cmocka_unit_test(the_imported_set_has_its_optimum),
        cmocka_unit_test(the_same_options_give_the_same_bytes),
    };
    return RUN_TESTS(tests);
}
