/* synthetic_model.h - a linear Gaussian world whose best predictor is known in closed form.
 *
 * Two independent latent vectors, one seen through video and one through audio; targets need both.
 * Features are an orthogonal mix of the latent and noise, followed by carriers: +-2 by a Walsh code
 * of the step. Carriers keep the norm of a feature vector nearly constant, so a model that divides
 * by the norm loses almost nothing, and they tell the step's place in a window of 16. */
#ifndef JMT_SYNTHETIC_MODEL_H
#define JMT_SYNTHETIC_MODEL_H

#include <stdint.h>

enum {
    SYNTHETIC_LATENT = 4,   /* dimensions of each latent vector */
    SYNTHETIC_INFORMED = 8, /* features that depend on it */
    SYNTHETIC_VIDEO_DIM = 32,
    SYNTHETIC_AUDIO_DIM = 24,
    SYNTHETIC_NOISE_DIM = 8,
    SYNTHETIC_TARGETS = 2, /* valence, arousal */
};

typedef enum { SENSE_VIDEO, SENSE_AUDIO, SENSE_COUNT } sense_t;

typedef struct synthetic_config {
    uint64_t seed;
    double dropout;     /* chance that a step lacks video, and as much that it lacks audio */
    double noise;       /* standard deviation beside latents of 1 */
    double label_noise; /* beside a signal of 1 */
    double smooth;      /* correlation of a latent from one step to the next */
    double interaction; /* share of the signal's variance that is a product across the senses */
} synthetic_config_t;

typedef struct synthetic_model {
    synthetic_config_t config;
    double mix[SENSE_COUNT][SYNTHETIC_INFORMED][SYNTHETIC_INFORMED]; /* rows orthonormal */
    double weight[SENSE_COUNT][SYNTHETIC_LATENT][SYNTHETIC_LATENT];  /* rows orthonormal: target,
                                                                        target, product, product */
} synthetic_model_t;

void synthetic_model_init(const synthetic_config_t *config, synthetic_model_t *model_out);

/* One recording's world. features[s]: [steps, dim of s], valid[s]: [steps], target[t]: [steps]. */
void synthetic_draw(const synthetic_model_t *model, int64_t recording, int64_t steps,
                    float *const features[SENSE_COUNT], uint8_t *const valid[SENSE_COUNT],
                    float *const target[SYNTHETIC_TARGETS]);

/* The posterior mean of the targets given what is valid in the whole recording, from the senses in
 * the bit mask: no predictor has a smaller expected square error. mean[t]: [steps]. */
void synthetic_best(const synthetic_model_t *model, int64_t steps, unsigned senses,
                    const float *const features[SENSE_COUNT],
                    const uint8_t *const valid[SENSE_COUNT], double *const mean[SYNTHETIC_TARGETS]);

/* Sums for judging a predictor m of y, and what follows from them. */
typedef struct synthetic_sums {
    double count, y, m, yy, mm, ym;
} synthetic_sums_t;
void synthetic_sums_add(synthetic_sums_t *sums, double y, double m);
double synthetic_mse(const synthetic_sums_t *sums);
double synthetic_r(const synthetic_sums_t *sums);

/* CCC of the predictor stretched about its mean by `stretch`. */
double synthetic_ccc(const synthetic_sums_t *sums, double stretch);

/* sd(y) / sd(m): the stretch with the best CCC on the data of the sums; 0 for a constant m. */
double synthetic_stretch(const synthetic_sums_t *sums);

#endif
