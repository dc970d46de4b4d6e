/* config.h - everything a user can set, as one struct; one table (config_fields.c) reads it from
 * YAML and --set, checks it, prints it and documents it. */
#ifndef JMT_CONFIG_H
#define JMT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { CONFIG_MODALITIES_MAX = 16, CONFIG_TARGETS_MAX = 16 };

typedef struct modality_config { /* modalities.NAME */
    char *name;
    char *track;            /* "": of its own name; else of the data, which others may read, too */
    int64_t dim;            /* features per step; 0: from the data */
    int64_t clip, dilation; /* steps per token, and from one to the next (dataset.h) */
    /* auto | linear | none | tcn: what maps dim to model.dim; auto: linear where they differ. */
    char *front;
    int64_t tcn_blocks, tcn_kernel; /* front tcn only, as the two below */
    bool tcn_causal;
    double tcn_dropout;
    char *backbone;       /* none | a name of backbone_info.h */
    int64_t size;         /* of a picture's sides */
    int64_t upsample;     /* times as long as those of the data */
    int64_t width;        /* planes of the first layer of r2plus1d_18 and r3d_18 */
    char *reduce;         /* max | average | flatten: places of a backbone to one */
    char *batch_norm;     /* frozen | shard | global */
    char *augment;        /* none | colour | strong | mirror | spectrum */
    char *corrupt;        /* "": not; else KIND:LEVEL of corruption_kind.h, space-separated */
    bool frozen, fc_relu; /* no parameter of the backbone is trained; cnn_1d's missing ReLU */
    char *of;    /* "": features of its own; else two other modalities, space-separated, ... */
    char *intra; /* ... that concat_fc | encoder_plus_self_attention makes one stream of */
} modality_config_t;

typedef struct target_config { /* targets.NAME */
    char *name;
    char *loss; /* ccc | mse | cross_entropy | binary_cross_entropy */
    double weight;
    char *steps;       /* all | last: labels of a window that count */
    int64_t classes;   /* cross_entropy */
    char *class_names; /* cross_entropy: one per class with spaces between, or "" */
    /* none | balanced | numbers with spaces between: one per class, or of the label 1 */
    char *class_weights;
    double label_smoothing; /* cross_entropy */
    double mse_weight;      /* ccc: of the mean squared error beside it */
    char *threshold;        /* two classes: fit | a probability */
    bool clip;              /* values: to [-1, 1] */
    char *smooth;           /* values: fit | width of a moving average in steps */
} target_config_t;

typedef struct init_config { /* init.NAME; NAME is a modality, or "model" */
    char *name;
    char *file; /* whose weights the run begins with */
} init_config_t;

enum { CONFIG_BEST_MAX = 8 }; /* metrics of checkpoint.best */
enum { CONFIG_INITS_MAX = CONFIG_MODALITIES_MAX + 1 };

typedef struct config {
    int64_t seed, epochs, batch, threads, virtual_shards;
    bool schedule_known;
    double baseline_minutes;
    char *device, *backend, *precision, *reduce, *shuffle, *select_on;
    struct {
        /* jmt | jmt_no_joint | mt | concat | concat_att | concat_encoder | jca | rjcma | lfan |
         * can | decision | unimodal | majority | clock | stimulus */
        char *name;
        int64_t dim, ff, heads, layers, head_hidden;
        int64_t fusion_dim, recursions;
        double head_dropout, dropout, modality_dropout;
        char *output;        /* self_attention | fc | concat_encoder */
        char *token;         /* last | mean | max | concat */
        char *cross_weights; /* shared_by_query | separate */
        char *position;      /* none | sinusoidal | learned */
        char *branches;      /* space-separated QUERY<-KEY, or each with a - before; "" all */
        char *joint;         /* linear | mlp | sum; none is the model jmt_no_joint */
        char *missing;       /* zeros | learned */
        char *normalize;     /* l2 | none | layernorm */
        char *attn_form;     /* standard | paper_literal */
        bool cross_residual, cross_ffn, token_type, causal;
        char *modalities; /* space-separated subset in order; "" all */
    } model;
    struct {
        char *path;
        double rate_hz, shift;
        int64_t window, stride;
        char *standardize;   /* train | person | none */
        char *missing;       /* refuse | mask: a modality that the data lacks */
        double clock_step_s; /* of the built-in modalities clock and stimulus */
        bool permute_labels;
        char *permute_within; /* all | person */
        int64_t prefetch, shuffle_window;
    } data;
    struct {
        int64_t seed, folds, fold;
        char *by; /* subject | group | both */
        double valid_fraction, test_fraction;
        bool allow_subject_overlap;
    } split;
    struct {
        char *name; /* sgd | adam | adamw */
        double learning_rate, momentum, weight_decay, beta1, beta2, epsilon, clip_norm;
        bool nesterov;
    } optimizer;
    struct {
        char *name; /* constant | step | cosine */
        int64_t step_epochs, warmup_steps;
        double gamma, min_learning_rate;
    } schedule;
    struct {
        bool ccc_unbiased;
    } loss;
    struct {
        bool fold_attention, every_window;
        char *smooth_edges; /* nearest | constant */
    } evaluation;
    struct { /* what published code does by mistake, for beside its numbers alone */
        bool unlabelled_as_right, whole_windows, attention_over_samples;
        char *skip; /* space-separated recordings */
    } parity;
    struct {
        double timeout_s;
    } comm;
    struct {
        int64_t every_steps, keep;
        char *best; /* space-separated metrics as of select_on */
    } checkpoint;
    struct {
        int64_t patience;
    } early_stopping;
    modality_config_t modalities[CONFIG_MODALITIES_MAX];
    int modality_count;
    target_config_t targets[CONFIG_TARGETS_MAX];
    int target_count;
    init_config_t init[CONFIG_INITS_MAX];
    int init_count;
} config_t;

/* Defaults, then the file (and the files it names with `base:`, depth first), then each "KEY=VALUE"
 * of sets[], then the checks across keys. path NULL: defaults only. STATUS_INPUT, and
 * STATUS_UNAVAILABLE for a choice that is not in this build, carry "FILE:LINE:COL: CAUSE; REMEDY"
 * (or "--set K=V: ..."). */
status_t config_load(const char *path, const char *const *sets, int set_count,
                     config_t **config_out) MUST_CHECK;
/* The same from text in memory; name stands for the file in messages. */
status_t config_parse(const char *text, const char *name, const char *const *sets, int set_count,
                      config_t **config_out) MUST_CHECK;
/* Of a run that is there already: as config_parse, but a setting that has no effect is refused only
 * if one of sets[] gives it, for an earlier version took it. */
status_t config_parse_stored(const char *text, const char *name, const char *const *sets,
                             int set_count, config_t **config_out) MUST_CHECK;
void config_free(config_t *config); /* NULL allowed */

/* Metric `index` of checkpoint.best; NULL: there are not so many. Caller frees. */
char *config_best_metric(const config_t *config, int index);

/* Whether predictions of its values are clipped or smoothed. */
bool target_is_post_processed(const target_config_t *target);

/* The name under which the data has it. */
const char *modality_track(const modality_config_t *modality);

/* Modalities that the model sees, as indices in order: those of model.modalities, or all but those
 * that another one is made of. The number of them. */
int config_streams(const config_t *config, int indices_out[CONFIG_MODALITIES_MAX]);
/* The two modalities that this one is made of; false: it has features of its own. */
bool config_parts(const config_t *config, int modality, int parts_out[2]);
/* Whether a stream is made of two by encoder_plus_self_attention. */
bool config_has_intra_encoder(const config_t *config);

/* Whether the model reads this modality: as a stream, or as a part of one. */
bool config_reads(const config_t *config, int modality);

/* Complete YAML that config_parse reads back to the same struct; caller frees. */
char *config_yaml(const config_t *config);
/* One JSON object, nested like the YAML; caller frees. */
char *config_json(const config_t *config);
/* The table: an array of {key, type, unit, default, min, max, choices, unavailable, may_differ,
 * help}; caller frees. */
char *config_table_json(void);

/* The dotted keys whose values differ, in the order of the table: *count_out of them, freed
 * with names_free. `modalities`, `targets` or `init` alone: other entries, or in another order. */
char **config_differences(const config_t *a, const config_t *b, int *count_out);
/* Between which configurations a setting may differ; config_fields.c says it of each. */
typedef enum {
    DIFFER_IN_RUN = 1,       /* that give the same bits: where a run lies, how often it saves */
    DIFFER_IN_ROW = 2,       /* that a table averages: the seed, and what is the same to rounding */
    DIFFER_AT_RESUME = 4,    /* of a run and of what goes on from it */
    DIFFER_AT_EVALUATION = 8 /* of a trained model and of its evaluation */
} config_occasion_t;
/* Of a dotted key as config_differences has it. */
bool config_may_differ(const config_t *config, const char *key, config_occasion_t occasion);
/* The first setting that differs and may not: "KEY was A and is B"; NULL: none. Caller frees. */
char *config_difference(const config_t *a, const config_t *b, config_occasion_t occasion);
/* The value of a dotted key as YAML has it; of `modalities`, `targets` and `init` the names. NULL:
 * there is no such key. Caller frees. */
char *config_value(const config_t *config, const char *key);

bool config_is_model(const char *name); /* that model.name takes */
/* Keys that have no NAME in them, one after the other; NULL: there are no more. */
const char *config_key(int index);
/* How many letters are to be added, left out, changed or swapped with the next one: to guess what
 * was meant. */
int text_distance(const char *a, const char *b);

#endif
