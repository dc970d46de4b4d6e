/* config_check_targets.c - rules about targets: which loss reads which setting, and how many
 * weights it takes. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

bool target_is_post_processed(const target_config_t *target) {
    return target->clip || strcmp(target->smooth, "0") != 0;
}

typedef struct reader {
    const char *key, *losses;
} reader_t;

static const reader_t readers[] = {
    {"classes", "cross_entropy"},
    {"class_names", "cross_entropy"},
    {"class_weights", "cross_entropy binary_cross_entropy"},
    {"label_smoothing", "cross_entropy"},
    {"mse_weight", "ccc"},
    {"threshold", "cross_entropy binary_cross_entropy"},
    {"clip", "mse ccc"},
    {"smooth", "mse ccc"},
};

typedef struct checked {
    const config_origins_t *origins;
    const char *name;
    const target_config_t *target;
} checked_t;

/* text: "KEY CAUSE; REMEDY" without "targets.NAME.", freed here. */
static status_t refuse(const checked_t *c, const char *key, const char *other, char *text) {
    char *full = text_format("targets.%s.%s", c->target->name, key);
    char *full_other = text_format("targets.%s.%s", c->target->name, other);
    char *named = text_format("targets.%s.%s", c->target->name, text);
    status_t status = origins_fail(c->origins, c->name, STATUS_INPUT, full, full_other, named);
    free(text);
    free(full_other);
    free(full);
    return status;
}

static bool is_default(const config_field_t *row, const target_config_t *target) {
    if (row->type == FIELD_INT) {
        return field_int(row, target) == strtoll(row->initial, NULL, 10);
    }
    if (row->type == FIELD_BOOL) {
        return field_bool(row, target) == (strcmp(row->initial, "true") == 0);
    }
    if (row->type == FIELD_REAL) {
        return field_real(row, target) == strtod(row->initial, NULL);
    }
    return strcmp(field_text(row, target), row->initial) == 0;
}

static status_t check_readers(const checked_t *c) {
    for (int i = 0; i < ARRAY_LEN(readers); i++) {
        const config_field_t *row = config_field_find(TABLE_TARGET, readers[i].key);
        if (is_default(row, c->target) || words_have(readers[i].losses, c->target->loss)) {
            continue;
        }
        const char *space = strchr(readers[i].losses, ' ');
        return refuse(c, row->key, "loss",
                      text_format("%s is for %.*s%s%s only, and the loss is %s; remove it or set "
                                  "loss: %s",
                                  row->key,
                                  (int)(space != NULL ? space - readers[i].losses
                                                      : (long)strlen(readers[i].losses)),
                                  readers[i].losses, space != NULL ? " and" : "",
                                  space != NULL ? space : "", c->target->loss,
                                  space != NULL ? space + 1 : readers[i].losses));
    }
    return STATUS_OK;
}

static int word_count(const char *words) {
    const char *start = NULL;
    int length = 0, count = 0;
    while (word_at(words, count, &start, &length)) {
        count++;
    }
    return count;
}

static status_t check_weights(const checked_t *c) {
    const target_config_t *target = c->target;
    if (words_have("none balanced", target->class_weights)) {
        return STATUS_OK;
    }
    bool binary = strcmp(target->loss, "binary_cross_entropy") == 0;
    int count = word_count(target->class_weights), wanted = binary ? 1 : (int)target->classes;
    if (count == wanted) {
        return STATUS_OK;
    }
    return refuse(c, "class_weights", binary ? "loss" : "classes",
                  text_format("class_weights has %d number%s and takes %d, %s; write %d", count,
                              count == 1 ? "" : "s", wanted,
                              binary ? "the weight of the label 1" : "one per class", wanted));
}

static status_t check_names(const checked_t *c) {
    int count = word_count(c->target->class_names);
    if (count == 0 || count == (int)c->target->classes) {
        return STATUS_OK;
    }
    return refuse(c, "class_names", "classes",
                  text_format("class_names has %d name%s, and there are %lld classes; write one "
                              "for each",
                              count, count == 1 ? "" : "s", (long long)c->target->classes));
}

static status_t check_threshold(const checked_t *c, double valid_fraction) {
    const target_config_t *target = c->target;
    int count = word_count(target->threshold);
    if (count != 1) {
        return refuse(
            c, "threshold", "loss",
            text_format("threshold has %d numbers and takes one; write one, or fit", count));
    }
    if (target->classes > 2 && strcmp(target->threshold, "0.5") != 0) {
        return refuse(c, "threshold", "classes",
                      text_format("threshold is for two classes, and there are %lld; remove it",
                                  (long long)target->classes));
    }
    if (strcmp(target->threshold, "fit") == 0 && valid_fraction == 0.0) {
        return refuse(c, "threshold", "loss",
                      text_format("threshold fit needs a validation split; set "
                                  "split.valid_fraction above 0, or the threshold to a number"));
    }
    return STATUS_OK;
}

static status_t check_smooth(const checked_t *c, double valid_fraction) {
    const char *smooth = c->target->smooth;
    if (strcmp(smooth, "fit") == 0 && valid_fraction == 0.0) {
        return refuse(c, "smooth", "loss",
                      text_format("smooth fit needs a validation split; set "
                                  "split.valid_fraction above 0, or smooth to a number of steps"));
    }
    if (strcmp(smooth, "fit") != 0 &&
        (word_count(smooth) != 1 || strspn(smooth, "0123456789") != strlen(smooth))) {
        return refuse(c, "smooth", "loss",
                      text_format("smooth takes one whole number of steps, and there is %s; write "
                                  "one, or fit",
                                  smooth));
    }
    return STATUS_OK;
}

status_t config_check_targets(const config_t *config, const config_origins_t *origins,
                              const char *name) {
    for (int i = 0; i < config->target_count; i++) {
        const checked_t c = {origins, name, &config->targets[i]};
        if (strcmp(c.target->loss, "cross_entropy") == 0 && c.target->classes < 2) {
            return refuse(&c, "classes", "loss",
                          text_format("loss cross_entropy needs the number of classes; set "
                                      "targets.%s.classes to 2 or more",
                                      c.target->name));
        }
        TRY(check_readers(&c));
        TRY(check_names(&c));
        TRY(check_weights(&c));
        TRY(check_threshold(&c, config->split.valid_fraction));
        TRY(check_smooth(&c, config->split.valid_fraction));
    }
    return STATUS_OK;
}
