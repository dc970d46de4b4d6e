/* config_check.c - rules across keys. Each says what is wrong, where, and what to write instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

typedef struct checker {
    const config_t *config;
    const config_origins_t *origins;
    const char *name;
} checker_t;

/* Points at whichever of the two keys was given last. text: freed here. */
static status_t fail_at(const checker_t *checker, status_t status, const char *key,
                        const char *other, char *text) {
    return origins_fail(checker->origins, checker->name, status, key, other, text);
}

#define REFUSE(key, other, ...) fail_at(checker, STATUS_INPUT, key, other, text_format(__VA_ARGS__))
/* What nothing reads. */
#define REFUSE_UNUSED(key, other, ...)                                                             \
    origins_unused(checker->origins, checker->name, key, other, text_format(__VA_ARGS__))

static bool is(const char *value, const char *name) { return strcmp(value, name) == 0; }

/* Choices that are known but not in this build. */
static status_t check_available(const checker_t *checker) {
    const config_table_t *table = config_table(TABLE_MAIN);
    for (int i = 0; i < table->row_count; i++) {
        const config_field_t *row = &table->rows[i];
        if (row->type != FIELD_CHOICE) {
            continue;
        }
        const char *value = field_text(row, checker->config);
        if (words_have(row->later, value)) {
            return fail_at(checker, STATUS_UNAVAILABLE, row->key, NULL,
                           text_format("%s %s is not in this build; use %s: %s", row->key, value,
                                       row->key, row->initial));
        }
    }
    return STATUS_OK;
}

static status_t check_batch(const checker_t *checker) {
    int64_t batch = checker->config->batch, shards = checker->config->virtual_shards;
    if (batch % shards == 0) {
        return STATUS_OK;
    }
    long long below = batch / shards * shards, above = below + shards;
    bool both = below > 0 && (double)above <= config_field_find(TABLE_MAIN, "batch")->max;
    char *nearest = both ? text_format("%lld or %lld", below, above)
                         : text_format("%lld", below > 0 ? below : above);
    status_t status = REFUSE("batch", "virtual_shards",
                             "batch %lld is no multiple of virtual_shards %lld; use batch %s",
                             (long long)batch, (long long)shards, nearest);
    free(nearest);
    return status;
}

/* How many modalities the model sees; names that do not exist, or twice. */
static status_t check_model_modalities(const checker_t *checker, int *count_out) {
    const config_t *config = checker->config;
    const char *key = "model.modalities", *start = NULL;
    int length = 0, count = 0;
    for (; word_at(config->model.modalities, count, &start, &length); count++) {
        char *name = text_format("%.*s", length, start);
        char buffer[SHOWN_BYTES];
        status_t status = STATUS_OK;
        if (config_entry_find(config, TABLE_MODALITY, name) < 0) {
            status = REFUSE(key, NULL,
                            "%s names '%s', which modalities does not have; add "
                            "modalities.%s or correct the name",
                            key, shown(name, buffer), buffer);
        }
        const char *earlier = NULL;
        int earlier_length = 0;
        for (int i = 0; status == STATUS_OK && i < count; i++) {
            word_at(config->model.modalities, i, &earlier, &earlier_length);
            if (earlier_length == length && strncmp(earlier, start, (size_t)length) == 0) {
                status =
                    REFUSE(key, NULL, "%s names '%s' twice; remove one", key, shown(name, buffer));
            }
        }
        free(name);
        TRY(status);
    }
    int streams[CONFIG_MODALITIES_MAX];
    *count_out = config_streams(config, streams);
    return STATUS_OK;
}

static status_t check_model(const checker_t *checker) {
    const config_t *config = checker->config;
    if (config->model.dim % config->model.heads != 0) {
        return REFUSE("model.heads", "model.dim",
                      "model.heads %lld does not divide model.dim %lld; choose a divisor",
                      (long long)config->model.heads, (long long)config->model.dim);
    }
    if (is(config->model.name, "lfan") && config->model.fusion_dim % config->model.heads != 0) {
        return REFUSE("model.heads", "model.fusion_dim",
                      "model.heads %lld does not divide model.fusion_dim %lld; choose a divisor",
                      (long long)config->model.heads, (long long)config->model.fusion_dim);
    }
    int count = 0, streams[CONFIG_MODALITIES_MAX] = {0};
    TRY(check_model_modalities(checker, &count));
    TRY(config_check_modalities(config, checker->origins, checker->name));
    if (config->modality_count == 0) {
        return STATUS_OK;
    }
    if (words_have("mt jmt_no_joint", config->model.name) && count < 2) {
        return REFUSE("model.name", "model.modalities",
                      "model %s needs at least 2 modalities and has %d; use model.name: jmt or "
                      "unimodal, or add a modality",
                      config->model.name, count);
    }
    config_streams(config, streams);
    if (is(config->model.name, "unimodal") && count != 1) {
        return REFUSE("model.name", "model.modalities",
                      "model unimodal takes exactly 1 modality and has %d; name one, such as "
                      "model.modalities: [%s]",
                      count, config->modalities[streams[0]].name);
    }
    return STATUS_OK;
}

static bool reads(const config_t *config, const char *modality) {
    if (is(config->model.name, modality)) {
        return true;
    }
    bool given = config->model.modalities[0] != '\0';
    return given ? words_have(config->model.modalities, modality)
                 : config_entry_find(config, TABLE_MODALITY, modality) >= 0;
}

/* The built-in modalities, and the control models that are tables over them. */
static status_t check_built_in(const checker_t *checker) {
    static const char *const names[] = {"clock", "stimulus"};
    const config_t *config = checker->config;
    bool any = false;
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        bool there = config_entry_find(config, TABLE_MODALITY, names[i]) >= 0;
        any |= there;
        if (is(config->model.name, names[i]) && !there && config->modality_count > 0) {
            return REFUSE("model.name", NULL,
                          "model %s reads the built-in modality of that name; add modalities: "
                          "{%s: {}}",
                          names[i], names[i]);
        }
    }
    if (config->data.clock_step_s > 0.0 && !any) {
        TRY(REFUSE_UNUSED("data.clock_step_s", NULL,
                          "data.clock_step_s has no effect without the built-in modalities clock "
                          "and stimulus; remove it, or add one to modalities"));
    }
    if (!config->schedule_known && reads(config, "clock")) {
        const char *key = is(config->model.name, "clock")       ? "model.name"
                          : config->model.modalities[0] != '\0' ? "model.modalities"
                                                                : "modalities.clock";
        return REFUSE(key, "schedule_known",
                      "clock tells the time since a recording began, which knows the order of its "
                      "tasks; set schedule_known: true, and tables say so, or leave clock out");
    }
    return STATUS_OK;
}

static status_t check_targets(const checker_t *checker) {
    const config_t *config = checker->config;
    bool modalities = config->modality_count > 0, targets = config->target_count > 0;
    if (modalities != targets) {
        table_id_t id = modalities ? TABLE_MODALITY : TABLE_TARGET;
        char *key =
            text_format("%s.%s", config_table(id)->prefix, config_entry_name(config, id, 0));
        status_t status =
            REFUSE(key, NULL, "%s, but no %s; add one, such as %s", key,
                   modalities ? "targets" : "modalities",
                   modalities ? "targets: {valence: {loss: ccc}}" : "modalities: {video: {}}");
        free(key);
        return status;
    }
    return STATUS_OK;
}

/* What no target's loss reads. */
static status_t check_losses(const checker_t *checker) {
    const config_t *config = checker->config;
    bool ccc = config->target_count == 0;
    for (int t = 0; t < config->target_count; t++) {
        ccc = ccc || is(config->targets[t].loss, "ccc");
    }
    if (config->loss.ccc_unbiased && !ccc) {
        return REFUSE_UNUSED("loss.ccc_unbiased", NULL,
                             "loss.ccc_unbiased has no effect: no target has loss: ccc; remove it");
    }
    return STATUS_OK;
}

static bool is_post_metric(const char *metric) { return words_have("rmse_post ccc_post", metric); }

static bool target_has(const target_config_t *target, const char *metric) {
    if (is(target->loss, "binary_cross_entropy") && is(metric, "f1_positive")) {
        return true;
    }
    return words_have("cross_entropy binary_cross_entropy", target->loss)
               ? words_have("accuracy uar f1_macro f1_weighted", metric)
               : words_have("mae rmse r ccc", metric) || is_post_metric(metric);
}

/* loss | METRIC | TARGET.METRIC; a metric must be one that the targets are scored by. */
static status_t check_metric(const checker_t *checker, const char *key, const char *text) {
    const config_t *config = checker->config;
    char buffer[SHOWN_BYTES];
    if (is(text, "loss")) {
        return STATUS_OK;
    }
    const char *dot = strrchr(text, '.');
    const char *metric = dot == NULL ? text : dot + 1;
    static const char *const known =
        "accuracy uar f1_macro f1_weighted f1_positive mae rmse r ccc rmse_post ccc_post";
    if (!words_have(known, metric)) {
        return REFUSE(key, NULL,
                      "%s '%s' is not a metric; use %sloss, or one of %s, as METRIC or "
                      "TARGET.METRIC",
                      key, shown(text, buffer), is(key, "select_on") ? "auto, " : "", known);
    }
    if (dot == NULL && config->target_count == 0) {
        return STATUS_OK;
    }
    char *name = text_format("%.*s", dot == NULL ? 0 : (int)(dot - text), text);
    bool exists = dot == NULL || config_entry_find(config, TABLE_TARGET, name) >= 0;
    bool scored = false, processed = false;
    for (int i = 0; i < config->target_count; i++) {
        const target_config_t *target = &config->targets[i];
        bool meant = dot == NULL || is(target->name, name);
        scored = scored || (meant && target_has(target, metric));
        processed = processed || (meant && target_is_post_processed(target));
    }
    free(name);
    if (!exists) {
        return REFUSE(key, NULL,
                      "%s '%s' names a target that targets does not have; "
                      "correct the name",
                      key, shown(text, buffer));
    }
    if (!scored) {
        return REFUSE(key, NULL,
                      "%s '%s': no such target is scored by %s; accuracy, uar, "
                      "f1_macro and f1_weighted go with the cross-entropies, f1_positive with the "
                      "binary one, mae, rmse, r and ccc with the other losses",
                      key, shown(text, buffer), metric);
    }
    if (is_post_metric(metric) && !processed) {
        return REFUSE_UNUSED(key, NULL,
                             "%s '%s' is of post-processed predictions, and no such target "
                             "has any; set its smooth or clip, or take another metric",
                             key, shown(text, buffer));
    }
    return STATUS_OK;
}

char *config_best_metric(const config_t *config, int index) {
    const char *start = NULL;
    int length = 0;
    bool there = word_at(config->checkpoint.best, index, &start, &length);
    return there ? text_format("%.*s", length, start) : NULL;
}

static status_t check_select_on(const checker_t *checker) {
    const config_t *config = checker->config;
    if (!is(config->select_on, "auto")) {
        TRY(check_metric(checker, "select_on", config->select_on));
    }
    char *metric = NULL;
    int count = 0;
    for (; (metric = config_best_metric(config, count)) != NULL; count++) {
        status_t status = check_metric(checker, "checkpoint.best", metric);
        free(metric);
        TRY(status);
    }
    if (count > CONFIG_BEST_MAX) {
        return REFUSE("checkpoint.best", NULL, "checkpoint.best has %d metrics; use at most %d",
                      count, CONFIG_BEST_MAX);
    }
    if (count > 0 && config->split.valid_fraction == 0.0) {
        return REFUSE_UNUSED("checkpoint.best", "split.valid_fraction",
                             "checkpoint.best has no effect without validation people; set "
                             "split.valid_fraction above 0, or remove it");
    }
    return STATUS_OK;
}

static status_t check_folds(const checker_t *checker) {
    long long folds = checker->config->split.folds, fold = checker->config->split.fold;
    if (folds == 0 && fold != 0) {
        return REFUSE_UNUSED("split.fold", "split.folds",
                             "split.fold %lld has no effect with split.folds 0; remove it, or set "
                             "split.folds",
                             fold);
    }
    if (folds > 0 && fold >= folds) {
        return REFUSE("split.fold", "split.folds",
                      "split.fold %lld, but split.folds is %lld; use 0 to %lld", fold, folds,
                      folds - 1);
    }
    return STATUS_OK;
}

static status_t check_people(const checker_t *checker) {
    const config_t *config = checker->config;
    const char *by = config->split.by;
    if (!is(by, "subject") && config->split.folds == 0) {
        TRY(REFUSE_UNUSED("split.by", "split.folds",
                          "split.by %s has no effect with split.folds 0; remove it, or set "
                          "split.folds",
                          by));
    }
    if (is(by, "group") && !config->split.allow_subject_overlap) {
        return REFUSE("split.by", "split.allow_subject_overlap",
                      "split.by group tests people that were trained on; set "
                      "split.allow_subject_overlap: true, or use split.by: both");
    }
    if (is(by, "leaky_published") && !config->split.allow_subject_overlap) {
        return REFUSE(
            "split.by", "split.allow_subject_overlap",
            "split.by leaky_published tests people that were trained on, and no such "
            "number holds for anybody new; set split.allow_subject_overlap: true to stand "
            "beside one that was published so, or use split.by: subject");
    }
    if (config->baseline_minutes > 0.0 && is(config->data.standardize, "person")) {
        return REFUSE("baseline_minutes", "data.standardize",
                      "baseline_minutes and data.standardize: person both scale each person; leave "
                      "one out");
    }
    return STATUS_OK;
}

static status_t check_data(const checker_t *checker) {
    const config_t *config = checker->config;
    TRY(check_people(checker));
    if (config->data.stride > config->data.window) {
        return REFUSE("data.stride", "data.window",
                      "data.stride %lld above data.window %lld would skip steps; use at most %lld",
                      (long long)config->data.stride, (long long)config->data.window,
                      (long long)config->data.window);
    }
    double sum = config->split.valid_fraction + config->split.test_fraction;
    if (sum >= 1.0) {
        return REFUSE("split.valid_fraction", "split.test_fraction",
                      "split.valid_fraction and split.test_fraction add up to %g, so nothing is "
                      "left to train on; keep the sum below 1",
                      sum);
    }
    TRY(check_folds(checker));
    if (config->split.folds != 0 && origins_by_set(checker->origins, "split.test_fraction")) {
        return REFUSE("split.test_fraction", "split.folds",
                      "split.test_fraction has no effect with split.folds %lld; leave one out",
                      (long long)config->split.folds);
    }
    if (!config->data.permute_labels && !is(config->data.permute_within, "all")) {
        TRY(REFUSE_UNUSED("data.permute_within", "data.permute_labels",
                          "data.permute_within has no effect without data.permute_labels: true; "
                          "set that, or remove it"));
    }
    if (config->early_stopping.patience > 0 && config->split.valid_fraction == 0.0) {
        return REFUSE("early_stopping.patience", "split.valid_fraction",
                      "early_stopping.patience needs a validation split; set "
                      "split.valid_fraction above 0, or the patience to 0");
    }
    return STATUS_OK;
}

/* A setting that the chosen optimiser or schedule does not read must stand at its default. */
static status_t check_unused(const checker_t *checker, const char *chooser, const char *choice,
                             const char *users, const char *key) {
    if (words_have(users, choice)) {
        return STATUS_OK;
    }
    const config_field_t *row = config_field_find(TABLE_MAIN, key);
    bool is_default = false;
    if (row->type == FIELD_BOOL) {
        is_default = field_bool(row, checker->config) == is(row->initial, "true");
    } else if (row->type == FIELD_INT) {
        is_default = field_int(row, checker->config) == strtoll(row->initial, NULL, 10);
    } else {
        is_default = field_real(row, checker->config) == strtod(row->initial, NULL);
    }
    if (is_default) {
        return STATUS_OK;
    }
    return REFUSE_UNUSED(key, chooser,
                         "%s has no effect with %s %s; remove it, or leave its default %s", key,
                         chooser, choice, row->initial);
}

static status_t check_optimizer(const checker_t *checker) {
    const config_t *config = checker->config;
    const char *name = config->optimizer.name, *chooser = "optimizer.name";
    TRY(check_unused(checker, chooser, name, "sgd", "optimizer.momentum"));
    TRY(check_unused(checker, chooser, name, "sgd", "optimizer.nesterov"));
    TRY(check_unused(checker, chooser, name, "adam adamw", "optimizer.beta1"));
    TRY(check_unused(checker, chooser, name, "adam adamw", "optimizer.beta2"));
    TRY(check_unused(checker, chooser, name, "adam adamw", "optimizer.epsilon"));
    if (is(name, "sgd") && config->optimizer.nesterov && config->optimizer.momentum == 0.0) {
        return REFUSE("optimizer.momentum", "optimizer.nesterov",
                      "optimizer.nesterov needs momentum above 0; set optimizer.nesterov: false");
    }
    name = config->schedule.name;
    chooser = "schedule.name";
    TRY(check_unused(checker, chooser, name, "step", "schedule.step_epochs"));
    TRY(check_unused(checker, chooser, name, "step", "schedule.gamma"));
    TRY(check_unused(checker, chooser, name, "step cosine", "schedule.min_learning_rate"));
    if (config->schedule.min_learning_rate > config->optimizer.learning_rate) {
        return REFUSE("schedule.min_learning_rate", "optimizer.learning_rate",
                      "schedule.min_learning_rate %g is above optimizer.learning_rate %g; lower it",
                      config->schedule.min_learning_rate, config->optimizer.learning_rate);
    }
    return STATUS_OK;
}

status_t config_check(const config_t *config, const config_origins_t *origins, const char *name) {
    const checker_t checker = {config, origins, name};
    TRY(check_available(&checker));
    TRY(check_batch(&checker));
    TRY(check_targets(&checker));
    TRY(config_check_targets(config, origins, name));
    TRY(config_check_parity(config, origins, name));
    TRY(check_losses(&checker));
    TRY(check_model(&checker));
    TRY(check_built_in(&checker));
    TRY(config_check_fusion(config, origins, name));
    TRY(config_check_init(config, origins, name));
    TRY(check_select_on(&checker));
    TRY(check_data(&checker));
    TRY(check_unused(&checker, "shuffle", config->shuffle, "block", "data.shuffle_window"));
    return check_optimizer(&checker);
}
