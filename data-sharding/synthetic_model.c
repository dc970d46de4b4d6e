#include "data-sharding/synthetic_model.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

#define CARRIER      2.0
#define TARGET_SCALE 0.25 /* targets are clipped to [-1, 1] at four standard deviations */

enum { LATENT = SYNTHETIC_LATENT, INFORMED = SYNTHETIC_INFORMED, WALSH_CODES = 15 };

static const int sense_dim[SENSE_COUNT] = {SYNTHETIC_VIDEO_DIM, SYNTHETIC_AUDIO_DIM};
static const char *const sense_name[SENSE_COUNT] = {"video", "audio"};

/* Gram-Schmidt of normal rows. */
static void orthonormal(uint64_t seed, const char *name, uint64_t turn, int size, double *rows) {
    for (int i = 0; i < size; i++) {
        double *row = rows + i * size;
        for (int j = 0; j < size; j++) {
            row[j] = rng_normal((rng_key_t){seed, rng_name(name), turn}, (uint64_t)(i * size + j));
        }
        for (int before = 0; before <= i; before++) {
            const double *other = rows + before * size;
            double product = 0.0;
            for (int j = 0; j < size; j++) {
                product += row[j] * other[j];
            }
            double factor = before < i ? product : 1.0 - 1.0 / sqrt(product);
            for (int j = 0; j < size; j++) {
                row[j] -= factor * other[j];
            }
        }
    }
}

void synthetic_model_init(const synthetic_config_t *config, synthetic_model_t *model_out) {
    model_out->config = *config;
    for (int s = 0; s < SENSE_COUNT; s++) {
        orthonormal(config->seed, "synthetic.mix", (uint64_t)s, INFORMED, &model_out->mix[s][0][0]);
        orthonormal(config->seed, "synthetic.weight", (uint64_t)s, LATENT,
                    &model_out->weight[s][0][0]);
    }
}

static double dot(const double *a, const double *b) {
    double sum = 0.0;
    for (int k = 0; k < LATENT; k++) {
        sum += a[k] * b[k];
    }
    return sum;
}

/* The signal of a target given the latents, or given their posterior means: senses are independent
 * a posteriori, so the mean of the product is the product of the means. */
static double signal_of(const synthetic_model_t *model, int target, const double *video,
                        const double *audio) {
    double share = model->config.interaction;
    double sum = dot(model->weight[SENSE_VIDEO][target], video) +
                 dot(model->weight[SENSE_AUDIO][target], audio);
    double product = dot(model->weight[SENSE_VIDEO][2 + target], video) *
                     dot(model->weight[SENSE_AUDIO][2 + target], audio);
    return TARGET_SCALE * (sqrt(1.0 - share) * sum / sqrt(2.0) + sqrt(share) * product);
}

static double carrier(int feature, int64_t step) {
    unsigned code = (unsigned)(feature % WALSH_CODES) + 1;
    return __builtin_parity((unsigned)(step & 15) & code) != 0 ? -CARRIER : CARRIER;
}

static void draw_sense(const synthetic_model_t *model, int sense, int64_t recording, int64_t steps,
                       float *features, double *latents) {
    const synthetic_config_t *c = &model->config;
    uint64_t stream = rng_name(sense_name[sense]), turn = (uint64_t)recording;
    rng_key_t latent_key = {c->seed, stream, turn}, noise_key = {~c->seed, stream, turn};
    double fresh = sqrt(1.0 - c->smooth * c->smooth);
    for (int64_t t = 0; t < steps; t++) {
        double *z = latents + t * LATENT;
        for (int k = 0; k < LATENT; k++) {
            double draw = rng_normal(latent_key, (uint64_t)(t * LATENT + k));
            z[k] = t == 0 ? draw : c->smooth * z[k - LATENT] + fresh * draw;
        }
        float *row = features + t * sense_dim[sense];
        for (int d = 0; d < INFORMED; d++) {
            double x = c->noise * rng_normal(noise_key, (uint64_t)(t * INFORMED + d));
            for (int k = 0; k < LATENT; k++) {
                x += model->mix[sense][k][d] * z[k];
            }
            row[d] = (float)x;
        }
        for (int d = INFORMED; d < sense_dim[sense]; d++) {
            row[d] = (float)carrier(d - INFORMED, t);
        }
    }
}

void synthetic_draw(const synthetic_model_t *model, int64_t recording, int64_t steps,
                    float *const features[SENSE_COUNT], uint8_t *const valid[SENSE_COUNT],
                    float *const target[SYNTHETIC_TARGETS]) {
    const synthetic_config_t *c = &model->config;
    uint64_t turn = (uint64_t)recording;
    double *latents[SENSE_COUNT];
    for (int s = 0; s < SENSE_COUNT; s++) {
        latents[s] = alloc_zero(steps * LATENT, sizeof(double));
        draw_sense(model, s, recording, steps, features[s], latents[s]);
    }
    rng_key_t drop_key = {c->seed, rng_name("synthetic.dropout"), turn};
    rng_key_t label_key = {c->seed, rng_name("synthetic.label"), turn};
    for (int64_t t = 0; t < steps; t++) {
        double u = rng_uniform(drop_key, (uint64_t)t); /* never both at once */
        valid[SENSE_VIDEO][t] = !(u < c->dropout);
        valid[SENSE_AUDIO][t] = !(u >= c->dropout && u < 2.0 * c->dropout);
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            double y = signal_of(model, k, latents[SENSE_VIDEO] + t * LATENT,
                                 latents[SENSE_AUDIO] + t * LATENT);
            y += TARGET_SCALE * c->label_noise *
                 rng_normal(label_key, (uint64_t)(t * SYNTHETIC_TARGETS + k));
            target[k][t] = (float)fmax(-1.0, fmin(1.0, y));
        }
    }
    for (int s = 0; s < SENSE_COUNT; s++) {
        free(latents[s]);
    }
}

/* Kalman filter and Rauch-Tung-Striebel smoother of one latent dimension, which orthonormal mixing
 * makes a scalar: observed where seen, with the noise's variance. */
static void smooth_latent(const synthetic_config_t *config, int64_t steps, const double *observed,
                          const uint8_t *seen, double *mean, double *variance) {
    double a = config->smooth, r = config->noise * config->noise;
    for (int64_t t = 0; t < steps; t++) {
        double m = t == 0 ? 0.0 : a * mean[t - 1];
        double v = t == 0 ? 1.0 : a * a * variance[t - 1] + 1.0 - a * a;
        double gain = seen[t] != 0 ? v / (v + r) : 0.0;
        mean[t] = seen[t] != 0 ? m + gain * (observed[t] - m) : m; /* there may be anything */
        variance[t] = (1.0 - gain) * v;
    }
    for (int64_t t = steps - 2; t >= 0 && a > 0.0; t--) {
        double predicted = a * a * variance[t] + 1.0 - a * a;
        double gain = a * variance[t] / predicted;
        mean[t] += gain * (mean[t + 1] - a * mean[t]);
        variance[t] += gain * gain * (variance[t + 1] - predicted);
    }
}

static void posterior(const synthetic_model_t *model, int sense, int64_t steps,
                      const float *features, const uint8_t *valid, double *latents) {
    double *observed = alloc_zero(3 * steps, sizeof(double));
    double *mean = observed + steps, *variance = mean + steps;
    for (int k = 0; k < LATENT; k++) {
        for (int64_t t = 0; t < steps; t++) {
            const float *row = features + t * sense_dim[sense];
            observed[t] = 0.0;
            for (int d = 0; d < INFORMED; d++) {
                observed[t] += model->mix[sense][k][d] * row[d];
            }
        }
        smooth_latent(&model->config, steps, observed, valid, mean, variance);
        for (int64_t t = 0; t < steps; t++) {
            latents[t * LATENT + k] = mean[t];
        }
    }
    free(observed);
}

void synthetic_best(const synthetic_model_t *model, int64_t steps, unsigned senses,
                    const float *const features[SENSE_COUNT],
                    const uint8_t *const valid[SENSE_COUNT],
                    double *const mean[SYNTHETIC_TARGETS]) {
    double *latents[SENSE_COUNT];
    for (int s = 0; s < SENSE_COUNT; s++) {
        latents[s] = alloc_zero(steps * LATENT, sizeof(double));
        if ((senses >> s & 1u) != 0) {
            posterior(model, s, steps, features[s], valid[s], latents[s]);
        }
    }
    for (int64_t t = 0; t < steps; t++) {
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            mean[k][t] = signal_of(model, k, latents[SENSE_VIDEO] + t * LATENT,
                                   latents[SENSE_AUDIO] + t * LATENT);
        }
    }
    for (int s = 0; s < SENSE_COUNT; s++) {
        free(latents[s]);
    }
}

void synthetic_sums_add(synthetic_sums_t *sums, double y, double m) {
    sums->count += 1.0;
    sums->y += y;
    sums->m += m;
    sums->yy += y * y;
    sums->mm += m * m;
    sums->ym += y * m;
}

typedef struct moments {
    double y, m, yy, mm, ym; /* means, population variances and covariance */
} moments_t;

static moments_t moments_of(const synthetic_sums_t *s) {
    moments_t o = {.y = s->y / s->count, .m = s->m / s->count};
    o.yy = s->yy / s->count - o.y * o.y;
    o.mm = s->mm / s->count - o.m * o.m;
    o.ym = s->ym / s->count - o.y * o.m;
    return o;
}

double synthetic_mse(const synthetic_sums_t *sums) {
    return (sums->yy - 2.0 * sums->ym + sums->mm) / sums->count;
}

double synthetic_r(const synthetic_sums_t *sums) {
    moments_t o = moments_of(sums);
    return o.mm > 0.0 && o.yy > 0.0 ? o.ym / sqrt(o.mm * o.yy) : 0.0;
}

double synthetic_ccc(const synthetic_sums_t *sums, double stretch) {
    moments_t o = moments_of(sums);
    double bias = o.y - o.m;
    double denominator = o.yy + stretch * stretch * o.mm + bias * bias;
    return denominator > 0.0 ? 2.0 * stretch * o.ym / denominator : 0.0;
}

double synthetic_stretch(const synthetic_sums_t *sums) {
    moments_t o = moments_of(sums);
    return o.mm > 0.0 ? sqrt(o.yy / o.mm) : 0.0;
}
