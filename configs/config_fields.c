#include "configs/config_fields.h"

#include <stdlib.h>
#include <string.h>

#include "configs/backbone_info.h"
#include "kernels/base/bytes.h"

#define AT(member)          offsetof(config_t, member)
#define MODALITY_AT(member) offsetof(modality_config_t, member)
#define TARGET_AT(member)   offsetof(target_config_t, member)
#define INIT_AT(member)     offsetof(init_config_t, member)

/* 2^53 - 1: the largest integer that survives every JSON reader. */
#define INT_LIMIT 9007199254740991.0

/* Behind the help stands where the setting may differ (may_differ); none: it makes the model. */
#define INT_ROW(key, member, initial, min, max, unit, ...)                                         \
    { key, FIELD_INT, AT(member), initial, min, max, NULL, NULL, unit, __VA_ARGS__ }
#define REAL_ROW(key, member, initial, min, max, unit, ...)                                        \
    { key, FIELD_REAL, AT(member), initial, min, max, NULL, NULL, unit, __VA_ARGS__ }
#define BOOL_ROW(key, member, initial, ...)                                                        \
    { key, FIELD_BOOL, AT(member), initial, 0, 0, NULL, NULL, "", __VA_ARGS__ }
#define CHOICE_ROW(key, member, initial, choices, later, ...)                                      \
    { key, FIELD_CHOICE, AT(member), initial, 0, 0, choices, later, "", __VA_ARGS__ }
#define TEXT_ROW(key, member, initial, ...)                                                        \
    { key, FIELD_TEXT, AT(member), initial, 0, 0, NULL, NULL, "", __VA_ARGS__ }

/* Where a run lies and how often it saves; that, and what says where and how fast to compute. */
#define SAVING (DIFFER_IN_RUN | DIFFER_IN_ROW | DIFFER_AT_RESUME)
#define PLACE  (SAVING | DIFFER_AT_EVALUATION)
/* By what is computed: a warning at resume. NUMERICS shows in the result, ROUNDING hardly. */
#define NUMERICS (DIFFER_AT_RESUME | DIFFER_AT_EVALUATION)
#define ROUNDING (NUMERICS | DIFFER_IN_ROW)
/* How long to train; what is scored, by which yardstick. */
#define LENGTH  DIFFER_AT_RESUME
#define SCORING DIFFER_AT_EVALUATION

/* clang-format off */
static const config_field_t main_rows[] = {
    INT_ROW("seed", seed, "0", 0, INT_LIMIT, "",
            "of initial weights, sample order and dropout", DIFFER_IN_ROW),
    INT_ROW("epochs", epochs, "5", 1, 1000000, "epochs", "passes over the training split", LENGTH),
    INT_ROW("batch", batch, "32", 1, 65536, "samples",
            "per optimiser step over all ranks; a multiple of virtual_shards", SCORING),
    INT_ROW("threads", threads, "1", 1, 1024, "threads",
            "per rank; part of what decides the bits", ROUNDING),
    INT_ROW("virtual_shards", virtual_shards, "8", 1, 1024, "shards",
            "parts of a batch that ranks share out; the most ranks there can be", NUMERICS),
    CHOICE_ROW("device", device, "auto", "auto cpu cuda", "", "where to compute", ROUNDING),
    CHOICE_ROW("backend", backend, "cpu", "ref cpu cuda", "",
               "ref: plain C, slow and obvious; cpu: fast; cuda: a GPU", ROUNDING),
    CHOICE_ROW("precision", precision, "f32", "f32 f32_strict bf16", "",
               "of activations; weights, gradients of them and the optimiser stay float32; f32 "
               "lets a GPU multiply by TF32, f32_strict does not",
               NUMERICS),
    CHOICE_ROW("reduce", reduce, "canonical", "canonical fast", "",
               "canonical: same bits for any number of ranks; fast: the library's sum", ROUNDING),
    CHOICE_ROW("shuffle", shuffle, "global", "global block", "",
               "global: all samples in one drawn order; block: few files at a time"),
    TEXT_ROW("select_on", select_on, "auto",
             "what the best checkpoint is best in: auto, loss, METRIC or TARGET.METRIC"),
    REAL_ROW("baseline_minutes", baseline_minutes, "0", 0, 1e6, "min",
             "features scaled by what each person has in the first minutes of recordings; 0: no"),
    BOOL_ROW("schedule_known", schedule_known, "false",
             "the order of a session may be used: allows the modality clock, and tables say so"),
    CHOICE_ROW("model.name", model.name, "jmt",
               "jmt jmt_no_joint mt concat concat_att concat_encoder jca rjcma lfan can decision "
               "unimodal majority clock stimulus", "", "which model"),
    INT_ROW("model.dim", model.dim, "512", 1, 16384, "features", "width of every stream"),
    INT_ROW("model.ff", model.ff, "512", 1, 65536, "features",
            "hidden width of the encoders' feed-forward part"),
    INT_ROW("model.heads", model.heads, "1", 1, 256, "heads",
            "of attention; divides model.dim (lfan: model.fusion_dim, too)"),
    INT_ROW("model.layers", model.layers, "1", 1, 64, "layers", "of each encoder"),
    INT_ROW("model.fusion_dim", model.fusion_dim, "32", 1, 16384, "features",
            "inside jca, rjcma, lfan, can: of hidden features, queries and keys, projections"),
    INT_ROW("model.recursions", model.recursions, "2", 1, 16, "times",
            "rjcma only: how often joint cross-attention is applied"),
    INT_ROW("model.head_hidden", model.head_hidden, "128", 1, 65536, "features",
            "hidden width of the output heads"),
    REAL_ROW("model.head_dropout", model.head_dropout, "0", 0, 0.95, "",
             "part of the heads' hidden features dropped in training"),
    REAL_ROW("model.dropout", model.dropout, "0", 0, 0.95, "",
             "part of what attentions and feed-forward parts hand on dropped in training"),
    REAL_ROW("model.modality_dropout", model.modality_dropout, "0", 0, 0.95, "",
             "probability that training hides a modality of a sample; never all of them"),
    CHOICE_ROW("model.output", model.output, "self_attention", "self_attention fc concat_encoder",
               "", "what is made of the cross-attentions' tokens"),
    CHOICE_ROW("model.token", model.token, "last", "last mean max concat", "",
               "self_attention only: its last token, or mean, largest or all side by side"),
    BOOL_ROW("model.token_type", model.token_type, "false",
             "self_attention only: a learned vector per token, added"),
    CHOICE_ROW("model.cross_weights", model.cross_weights, "shared_by_query",
               "shared_by_query separate", "", "of cross-attention: by query stream or by branch"),
    {"model.branches", FIELD_NAMES, AT(model.branches), "", 0, 0, NULL, NULL, "",
     "cross-attentions to keep, as QUERY<-KEY, or to drop, as -QUERY<-KEY; []: all"},
    CHOICE_ROW("model.normalize", model.normalize, "l2", "l2 none layernorm", "",
               "of each modality's features at a step, after its front"),
    CHOICE_ROW("model.joint", model.joint, "linear", "linear mlp sum none", "",
               "how the joint stream is made of the modalities; none: that is model jmt_no_joint"),
    CHOICE_ROW("model.missing", model.missing, "zeros", "zeros learned", "",
               "what stands for a missing modality in the joint stream"),
    CHOICE_ROW("model.attn_form", model.attn_form, "standard", "standard paper_literal", "",
               "of cross-attention: softmax(Q K') V, or softmax(K Q') V as the paper prints it"),
    BOOL_ROW("model.cross_residual", model.cross_residual, "false",
             "LN(query + cross-attention) instead of cross-attention alone"),
    BOOL_ROW("model.cross_ffn", model.cross_ffn, "false",
             "a feed-forward part, with LN(x + it), after each cross-attention"),
    CHOICE_ROW("model.position", model.position, "none", "none sinusoidal learned", "",
               "encoding of the step within the window, added before each encoder over time"),
    BOOL_ROW("model.causal", model.causal, "false", "attention over time sees no later step"),
    {"model.modalities", FIELD_NAMES, AT(model.modalities), "", 0, 0, NULL, NULL, "",
     "which modalities the model uses, in this order; []: all"},
    TEXT_ROW("data.path", data.path, "",
             "directory of shards; empty: default synthetic data, written first", PLACE),
    REAL_ROW("data.rate_hz", data.rate_hz, "0", 0, 1e6, "Hz",
             "of the steps of samples, which signals are resampled to; 0: that of the targets"),
    REAL_ROW("data.shift", data.shift, "0", 0, 0.999999, "steps",
             "by which the clock of each recording begins later: other steps of the same signals",
             SCORING),
    INT_ROW("data.window", data.window, "16", 1, 65536, "steps", "length of a sample"),
    INT_ROW("data.stride", data.stride, "0", 0, 65536, "steps",
            "from one window to the next; 0: data.window", SCORING),
    CHOICE_ROW("data.standardize", data.standardize, "train", "train person none", "",
               "features to mean 0 and deviation 1: of the training split, or of each person's own"
               " unlabelled data (transductive)"),
    CHOICE_ROW("data.missing", data.missing, "refuse", "refuse mask", "",
               "a modality that the data lacks altogether: refuse, or mask it everywhere (to"
               " evaluate without it)", SCORING),
    REAL_ROW("data.clock_step_s", data.clock_step_s, "0", 0, 1e6, "s",
             "of time that the built-in modalities clock and stimulus tell apart; 0: each step"),
    BOOL_ROW("data.permute_labels", data.permute_labels, "false",
             "control: labels of random other samples, so nothing can be learnt"),
    CHOICE_ROW("data.permute_within", data.permute_within, "all", "all person", "",
               "permute_labels only: person: labels stay with their person"),
    INT_ROW("data.shuffle_window", data.shuffle_window, "1024", 1, 1e9, "samples",
            "shuffle: block only: of one virtual shard, which are mixed with each other"),
    INT_ROW("data.prefetch", data.prefetch, "2", 0, 64, "batches",
            "made ahead of their use by a thread of their own; 0: none, in the step itself", PLACE),
    INT_ROW("split.seed", split.seed, "0", 0, INT_LIMIT, "", "of which subject is in which split",
            SCORING),
    INT_ROW("split.folds", split.folds, "0", -1, 100000, "folds",
            "that all subjects are dealt to, marks aside; 0: none; -1: leave one out", SCORING),
    CHOICE_ROW("split.by", split.by, "subject", "subject group both leaky_published", "",
               "what is dealt to folds: people, groups of recordings (stimuli), or both, where test"
               " and training share neither; leaky_published: recordings, people on both sides, the"
               " best checkpoint chosen on the test (unless split.valid_fraction is 0)", SCORING),
    INT_ROW("split.fold", split.fold, "0", 0, 100000, "",
            "which of the split.folds is tested, from 0", SCORING),
    REAL_ROW("split.valid_fraction", split.valid_fraction, "0.2", 0, 1, "",
             "of the training subjects, for validation", SCORING),
    REAL_ROW("split.test_fraction", split.test_fraction, "0.2", 0, 1, "",
             "of the subjects, where there are no folds and the data set marks no test part",
             SCORING),
    BOOL_ROW("split.allow_subject_overlap", split.allow_subject_overlap, "false",
             "accept a subject in two splits"),
    CHOICE_ROW("optimizer.name", optimizer.name, "sgd", "sgd adam adamw", "", "which optimiser"),
    REAL_ROW("optimizer.learning_rate", optimizer.learning_rate, "1e-4", 0, 100, "",
             "after warm-up"),
    REAL_ROW("optimizer.momentum", optimizer.momentum, "0.9", 0, 0.99999, "", "sgd only"),
    BOOL_ROW("optimizer.nesterov", optimizer.nesterov, "true", "sgd only"),
    REAL_ROW("optimizer.weight_decay", optimizer.weight_decay, "0", 0, 10, "",
             "adamw: decoupled; others: added to the gradient"),
    REAL_ROW("optimizer.beta1", optimizer.beta1, "0.9", 0, 0.9999999, "", "adam and adamw only"),
    REAL_ROW("optimizer.beta2", optimizer.beta2, "0.999", 0, 0.9999999, "", "adam and adamw only"),
    REAL_ROW("optimizer.epsilon", optimizer.epsilon, "1e-8", 1e-30, 1, "", "adam and adamw only"),
    REAL_ROW("optimizer.clip_norm", optimizer.clip_norm, "0", 0, 1e12, "",
             "largest norm of the whole gradient; 0: no limit"),
    CHOICE_ROW("schedule.name", schedule.name, "constant", "constant step cosine", "",
               "how the learning rate changes"),
    INT_ROW("schedule.step_epochs", schedule.step_epochs, "40", 1, 1000000, "epochs",
            "step only: epochs from one drop to the next"),
    INT_ROW("schedule.warmup_steps", schedule.warmup_steps, "0", 0, 1000000000, "steps",
            "of linear rise from 0"),
    REAL_ROW("schedule.gamma", schedule.gamma, "0.1", 1e-6, 1, "", "step only: factor of a drop"),
    REAL_ROW("schedule.min_learning_rate", schedule.min_learning_rate, "0", 0, 100, "",
             "step and cosine only: never below"),
    BOOL_ROW("loss.ccc_unbiased", loss.ccc_unbiased, "false",
             "variances of the CCC loss over n - 1 instead of n"),
    BOOL_ROW("evaluation.fold_attention", evaluation.fold_attention, "true",
             "evaluate and cv multiply weights of one-headed attention once, beforehand: half the"
             " work, the same to rounding", ROUNDING),
    BOOL_ROW("evaluation.every_window", evaluation.every_window, "false",
             "windows of validation and test people without any label are predicted, too; nothing"
             " of them is scored", SCORING),
    CHOICE_ROW("evaluation.smooth_edges", evaluation.smooth_edges, "nearest", "nearest constant",
               "", "what targets.NAME.smooth finds beyond a recording's ends: the nearest"
               " prediction, or 0 as in the published code", SCORING),
    BOOL_ROW("parity.unlabelled_as_right", parity.unlabelled_as_right, "false",
             "MISTAKE of published scores: a step without a valid label counts as 0 predicted and 0"
             " right, and enters smoothing as 0", SCORING),
    {"parity.skip", FIELD_NAMES, AT(parity.skip), "", 0, 0, NULL, NULL, "",
     "as published code leaves some out by name: recordings that are not trained on"},
    BOOL_ROW("parity.whole_windows", parity.whole_windows, "false",
             "MISTAKE of published training: what is left of a recording behind its last whole"
             " window is not trained on, nor a recording shorter than a window"),
    BOOL_ROW("parity.attention_over_samples", parity.attention_over_samples, "false",
             "MISTAKE of published training for BioVid: the encoders of the streams attend, at each"
             " step, over the samples of a virtual shard instead of over time"),
    REAL_ROW("comm.timeout_s", comm.timeout_s, "300", 0.1, 1e6, "s",
             "how long a rank waits for the others", PLACE),
    INT_ROW("checkpoint.every_steps", checkpoint.every_steps, "100", 0, 1000000000, "steps",
            "from one checkpoint to the next; 0: at the end of each epoch only", SAVING),
    INT_ROW("checkpoint.keep", checkpoint.keep, "3", 1, 1000000, "checkpoints",
            "newest ones kept, besides last and best", SAVING),
    {"checkpoint.best", FIELD_NAMES, AT(checkpoint.best), "", 0, 0, NULL, NULL, "",
     "further metrics, as select_on names them, whose best checkpoints are kept as best-METRIC",
     DIFFER_IN_ROW},
    INT_ROW("early_stopping.patience", early_stopping.patience, "0", 0, 1000000, "epochs",
            "without a better select_on before training ends; 0: never", LENGTH),
};

#define BACKBONE_CHOICE_(name, step, reads) " " #name
static const config_field_t modality_rows[] = {
    {"dim", FIELD_INT, MODALITY_AT(dim), "0", 0, 67108864, NULL, NULL, "features",
     "per step; 0: from the data"},
    {"track", FIELD_TEXT, MODALITY_AT(track), "", 0, 0, NULL, NULL, "",
     "of the data that it reads, so that two modalities can read one; empty: that of its own name"},
    {"clip", FIELD_INT, MODALITY_AT(clip), "1", 1, 65536, NULL, NULL, "steps",
     "of the modality's own that a step of the window shows, the last of them its own"},
    {"dilation", FIELD_INT, MODALITY_AT(dilation), "1", 1, 65536, NULL, NULL, "steps",
     "clip only: from one step of it to the next"},
    {"front", FIELD_CHOICE, MODALITY_AT(front), "auto", 0, 0, "auto linear none tcn", "", "",
     "what maps dim to model.dim; auto: linear where they differ; tcn: convolutions over time"},
    {"tcn_blocks", FIELD_INT, MODALITY_AT(tcn_blocks), "4", 1, 16, NULL, NULL, "blocks",
     "front tcn only: of two convolutions each, with dilation 1, 2, 4, ..."},
    {"tcn_kernel", FIELD_INT, MODALITY_AT(tcn_kernel), "5", 1, 1024, NULL, NULL, "steps",
     "front tcn only: that a convolution weighs"},
    {"tcn_causal", FIELD_BOOL, MODALITY_AT(tcn_causal), "true", 0, 0, NULL, NULL, "",
     "front tcn only: no convolution sees a later step; false: as many before as after"},
    {"tcn_dropout", FIELD_REAL, MODALITY_AT(tcn_dropout), "0.1", 0, 0.95, NULL, NULL, "",
     "front tcn only: part of the channels dropped in training, over all steps of a sample"},
    {"backbone", FIELD_CHOICE, MODALITY_AT(backbone), "none", 0, 0,
     "none" BACKBONE_LIST(BACKBONE_CHOICE_), "", "",
     "what makes features of clips (r2plus1d_18, r3d_18, i3d), single faces (ir_resnet_50, "
     "resnet_50), log-mel (resnet_18, vggish) or signals (cnn_1d)"},
    {"size", FIELD_INT, MODALITY_AT(size), "112", 1, 1024, NULL, NULL, "pixels",
     "backbones of clips only: height and width"},
    {"upsample", FIELD_INT, MODALITY_AT(upsample), "1", 1, 16, NULL, NULL, "times",
     "backbones of pictures only: size is so many times that of the data, which are enlarged"
     " bilinearly"},
    {"width", FIELD_INT, MODALITY_AT(width), "64", 1, 1024, NULL, NULL, "planes",
     "r2plus1d_18 and r3d_18 only: of their first layer, which the next three double; published"
     " weights have 64"},
    {"reduce", FIELD_CHOICE, MODALITY_AT(reduce), "max", 0, 0, "max average flatten", "", "",
     "backbones but cnn_1d: how all places become one; flatten: by a Linear to 512"},
    {"batch_norm", FIELD_CHOICE, MODALITY_AT(batch_norm), "frozen", 0, 0,
     "frozen shard global", "", "",
     "backbones with it: by its running statistics, or by those of each virtual shard or of the"
     " whole batch"},
    {"augment", FIELD_CHOICE, MODALITY_AT(augment), "none", 0, 0,
     "none colour strong mirror spectrum", "", "",
     "training clips changed by chance, once a clip: colour, strong, mirror of pictures, spectrum"
     " of sound"},
    {"corrupt", FIELD_NAMES, MODALITY_AT(corrupt), "", 0, 0, NULL, NULL, "",
     "training samples made worse as jmt robustness does it: noise:DB, drop:P, missing:P,"
     " muted:P, shift:STEPS; []: not"},
    {"frozen", FIELD_BOOL, MODALITY_AT(frozen), "false", 0, 0, NULL, NULL, "",
     "no parameter of the backbone is trained"},
    {"fc_relu", FIELD_BOOL, MODALITY_AT(fc_relu), "false", 0, 0, NULL, NULL, "",
     "cnn_1d only: ReLU behind its Linear, declared but not applied in the published code"},
    {"of", FIELD_NAMES, MODALITY_AT(of), "", 0, 0, NULL, NULL, "",
     "two other modalities that this one is made of; []: it has features of its own"},
    {"intra", FIELD_CHOICE, MODALITY_AT(intra), "encoder_plus_self_attention", 0, 0,
     "encoder_plus_self_attention concat_fc", "", "",
     "of only: how the two become one: as tokens that attend to one another, or linearly"},
};

static const config_field_t target_rows[] = {
    {"loss", FIELD_CHOICE, TARGET_AT(loss), "ccc", 0, 0,
     "ccc mse cross_entropy binary_cross_entropy", "", "", "what training minimises"},
    {"weight", FIELD_REAL, TARGET_AT(weight), "1", 0, 1e6, NULL, NULL, "",
     "of this target in the sum", SCORING},
    {"steps", FIELD_CHOICE, TARGET_AT(steps), "all", 0, 0, "all last", "", "",
     "whose labels count, in the loss and in scores: all of a window, or the last labelled one"
     " alone, as where a window has one answer", SCORING},
    {"classes", FIELD_INT, TARGET_AT(classes), "0", 0, 64, NULL, NULL, "classes",
     "cross_entropy only, at least 2; labels are 0..classes-1"},
    {"class_names", FIELD_NAMES, TARGET_AT(class_names), "", 0, 0, NULL, NULL, "",
     "cross_entropy only: one per class, for the first line of jmt evaluate --submission", PLACE},
    {"class_weights", FIELD_NUMBERS, TARGET_AT(class_weights), "none", 1e-6, 1e6, "none balanced",
     "", "", "of labels: one per class, or of the label 1 (binary_cross_entropy); balanced: by "
     "how often training people have them", SCORING},
    {"label_smoothing", FIELD_REAL, TARGET_AT(label_smoothing), "0", 0, 0.999, NULL, NULL, "",
     "cross_entropy only: part of a label spread over all classes", SCORING},
    {"mse_weight", FIELD_REAL, TARGET_AT(mse_weight), "0", 0, 1e6, NULL, NULL, "",
     "ccc only: of the mean squared error added to it", SCORING},
    {"threshold", FIELD_NUMBERS, TARGET_AT(threshold), "0.5", 1e-6, 0.999999, "fit", "", "",
     "two classes: probability above which it is class 1; fit: best uar on validation people",
     SCORING},
    {"clip", FIELD_BOOL, TARGET_AT(clip), "false", 0, 0, NULL, NULL, "",
     "ccc and mse only: predictions beyond -1 or 1 become that end, before smooth", SCORING},
    {"smooth", FIELD_NUMBERS, TARGET_AT(smooth), "0", 0, 1e6, "fit", "", "steps",
     "ccc and mse only: width of a moving average of predictions; fit: best ccc on validation"
     " people", SCORING},
};

static const config_field_t init_rows[] = {
    {"", FIELD_TEXT, INIT_AT(file), "", 0, 0, NULL, NULL, "",
     "weights to begin with: a checkpoint, .safetensors, .pt or .pth; NAME is a modality (its front"
     " end), or model (all parameters)"},
};

static const config_field_t base_row =
    {"base", FIELD_TEXT, 0, "", 0, 0, NULL, NULL, "",
     "in a file: another one to start from, relative to this one"};

static const config_table_t tables[TABLE_COUNT] = {
    {"", main_rows, ARRAY_LEN(main_rows)},
    {"modalities", modality_rows, ARRAY_LEN(modality_rows)},
    {"targets", target_rows, ARRAY_LEN(target_rows)},
    {"init", init_rows, ARRAY_LEN(init_rows)},
};
/* clang-format on */

const config_table_t *config_table(table_id_t id) { return &tables[id]; }

const config_field_t *config_base_row(void) { return &base_row; }

const config_field_t *config_field_find(table_id_t id, const char *key) {
    for (int i = 0; i < tables[id].row_count; i++) {
        if (strcmp(tables[id].rows[i].key, key) == 0) {
            return &tables[id].rows[i];
        }
    }
    return NULL;
}

bool config_is_entries(const char *key) {
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT; id++) {
        if (strcmp(tables[id].prefix, key) == 0) {
            return true;
        }
    }
    return false;
}

char *config_entry_key(table_id_t id, const char *name, const config_field_t *row) {
    return text_format("%s.%s%s%s", tables[id].prefix, name, row->key[0] != '\0' ? "." : "",
                       row->key);
}

bool config_section_exists(const char *key) {
    size_t length = strlen(key);
    for (int i = 0; i < ARRAY_LEN(main_rows); i++) {
        if (strncmp(main_rows[i].key, key, length) == 0 && main_rows[i].key[length] == '.') {
            return true;
        }
    }
    return false;
}

bool config_is_model(const char *name) {
    return words_have(config_field_find(TABLE_MAIN, "model.name")->choices, name);
}
