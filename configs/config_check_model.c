/* config_check_model.c - rules about the forms of the fusion: which model reads which setting, and
 * which branches are left. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

/* Models of several modalities, but decision; all but the controls. */
#define FUSIONS     "jmt jmt_no_joint mt concat concat_att concat_encoder jca rjcma lfan can"
#define ALL_TRAINED FUSIONS " decision unimodal"

typedef struct reader {
    const char *key, *models;
    bool token_only; /* with model.output self_attention alone */
} reader_t;

static const reader_t readers[] = {
    {"model.output", "jmt jmt_no_joint", false},
    {"model.token", "jmt jmt_no_joint", true},
    {"model.token_type", "jmt jmt_no_joint", true},
    {"model.cross_weights", "jmt jmt_no_joint mt", false},
    {"model.branches", "jmt jmt_no_joint mt", false},
    {"model.joint", "jmt", false},
    {"model.missing", "jmt", false},
    {"model.normalize", FUSIONS, false},
    {"model.attn_form", "jmt jmt_no_joint mt", false},
    {"model.cross_residual", "jmt jmt_no_joint mt", false},
    {"model.cross_ffn", "jmt jmt_no_joint mt", false},
    {"model.position", "jmt jmt_no_joint mt concat_encoder", false},
    {"model.causal", "jmt jmt_no_joint mt concat_encoder", false},
    {"model.dropout", "jmt jmt_no_joint mt concat_encoder", false},
    {"model.modality_dropout", FUSIONS " decision", false},
};

typedef struct fusion {
    const config_t *config;
    const config_origins_t *origins;
    const char *name;
} fusion_t;

/* text: "CAUSE; REMEDY", freed here. */
static status_t refuse(const fusion_t *fusion, const char *key, const char *other, char *text) {
    return origins_fail(fusion->origins, fusion->name, STATUS_INPUT, key, other, text);
}

static status_t refuse_unused(const fusion_t *fusion, const char *key, const char *other,
                              char *text) {
    return origins_unused(fusion->origins, fusion->name, key, other, text);
}

static status_t check_readers(const fusion_t *fusion) {
    const config_t *config = fusion->config;
    bool attends = strcmp(config->model.output, "self_attention") == 0;
    for (int i = 0; i < ARRAY_LEN(readers); i++) {
        const reader_t *reader = &readers[i];
        const config_field_t *row = config_field_find(TABLE_MAIN, reader->key);
        bool intra = strcmp(reader->key, "model.dropout") == 0 && config_has_intra_encoder(config);
        if (field_is_default(row, config) || intra) {
            continue;
        }
        bool read = words_have(reader->models, config->model.name);
        if (!read || (reader->token_only && !attends)) {
            const char *chooser = read ? "model.output" : "model.name";
            TRY(refuse_unused(fusion, reader->key, chooser,
                              text_format("%s has no effect with %s %s; remove it, or leave its "
                                          "default %s",
                                          reader->key, chooser,
                                          read ? config->model.output : config->model.name,
                                          row->initial[0] == '\0' ? "[]" : row->initial)));
        }
    }
    return STATUS_OK;
}

/* Sizes in a file may serve a family of models by `base`; given with --set they are meant for this
 * one. */
static status_t check_sizes(const fusion_t *fusion) {
    static const struct {
        const char *key, *models;
        bool intra; /* or by a modality that is made of two */
    } sizes[] = {
        {"model.ff", "jmt jmt_no_joint mt concat_encoder", true},
        {"model.heads", "jmt jmt_no_joint mt concat_encoder lfan", true},
        {"model.layers", "jmt jmt_no_joint mt concat_encoder", true},
        {"model.fusion_dim", "jca rjcma lfan can", false},
        {"model.recursions", "rjcma", false},
        {"model.dim", ALL_TRAINED, false},
        {"model.head_hidden", ALL_TRAINED, false},
        {"model.head_dropout", ALL_TRAINED, false},
    };
    const config_t *config = fusion->config;
    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        bool set = origins_by_set(fusion->origins, sizes[i].key);
        bool intra = sizes[i].intra && config_has_intra_encoder(config);
        if (set && !intra && !words_have(sizes[i].models, config->model.name)) {
            return refuse(fusion, sizes[i].key, NULL,
                          text_format("%s has no effect with model.name %s; leave it out",
                                      sizes[i].key, config->model.name));
        }
    }
    return STATUS_OK;
}

/* --- branches -------------------------------------------------------------------------------- */

/* Streams by number: the model's modalities, then joint where the model has it. */
static char *stream_name(const config_t *config, int number) {
    int streams[CONFIG_MODALITIES_MAX];
    int count = config_streams(config, streams);
    return text_copy(number < count ? config->modalities[streams[number]].name : "joint");
}

static int stream_count(const config_t *config, int *modalities_out) {
    int streams[CONFIG_MODALITIES_MAX];
    *modalities_out = config_streams(config, streams);
    return *modalities_out + (strcmp(config->model.name, "jmt") == 0);
}

static bool branch_left(const config_t *config, int query, int key) {
    char *q = stream_name(config, query), *k = stream_name(config, key);
    bool drops = config->model.branches[0] == '-';
    char *word = text_format("%s%s<-%s", drops ? "-" : "", q, k);
    bool listed = words_have(config->model.branches, word);
    free(q);
    free(k);
    free(word);
    return listed != drops;
}

/* One word of model.branches, without its -: how many branches bear that name, 0 or 1. */
static int branches_named(const config_t *config, const char *start, int length) {
    int modalities = 0, found = 0, streams = stream_count(config, &modalities);
    for (int q = 0; q < streams; q++) {
        for (int k = 0; k < streams; k++) {
            char *query = stream_name(config, q), *key = stream_name(config, k);
            char *name = text_format("%s<-%s", query, key);
            found +=
                q != k && (int)strlen(name) == length && strncmp(name, start, (size_t)length) == 0;
            free(query);
            free(key);
            free(name);
        }
    }
    return found;
}

static status_t check_branch_names(const fusion_t *fusion) {
    const config_t *config = fusion->config;
    const char *words = config->model.branches, *start = NULL;
    int length = 0;
    bool drops = words[0] == '-';
    for (int i = 0; word_at(words, i, &start, &length); i++) {
        if ((start[0] == '-') != drops) {
            return refuse(fusion, "model.branches", NULL,
                          text_copy("model.branches mixes branches to keep with branches to drop; "
                                    "write - before all names or before none"));
        }
        if (branches_named(config, start + drops, length - drops) == 0) {
            char *first = stream_name(config, 0), *second = stream_name(config, 1);
            char *text = text_format("model.branches names '%.*s', which model %s does not have; "
                                     "write QUERY<-KEY, such as %s<-%s",
                                     length - drops < 40 ? length - drops : 40, start + drops,
                                     config->model.name, first, second);
            free(first);
            free(second);
            return refuse(fusion, "model.branches", "model.name", text);
        }
    }
    return STATUS_OK;
}

/* Settings of the joint stream need a branch with it. */
static status_t check_joint_used(const fusion_t *fusion, bool used) {
    static const char *const keys[] = {"model.joint", "model.missing"};
    for (int i = 0; !used && i < ARRAY_LEN(keys); i++) {
        const config_field_t *row = config_field_find(TABLE_MAIN, keys[i]);
        if (!field_is_default(row, fusion->config)) {
            TRY(refuse_unused(fusion, keys[i], "model.branches",
                              text_format("%s has no effect: model.branches leaves no branch with "
                                          "joint; keep one, or leave the default %s",
                                          keys[i], row->initial)));
        }
    }
    return STATUS_OK;
}

static status_t check_branches(const fusion_t *fusion) {
    const config_t *config = fusion->config;
    int modalities = 0, left = 0;
    TRY(check_branch_names(fusion));
    int streams = stream_count(config, &modalities);
    bool used[CONFIG_MODALITIES_MAX + 1] = {false};
    for (int q = 0; q < streams; q++) {
        for (int k = 0; k < streams; k++) {
            if (q != k && branch_left(config, q, k)) {
                used[q] = used[k] = true;
                left++;
            }
        }
    }
    if (left == 0) {
        return refuse(fusion, "model.branches", NULL,
                      text_copy("model.branches leaves no branch; keep at least one"));
    }
    for (int m = 0; m < modalities; m++) {
        if (!used[m] && !(streams > modalities && used[modalities])) {
            char *name = stream_name(config, m);
            char *text = text_format("model.branches leaves %s out of every branch; keep one with "
                                     "it, or take it out of model.modalities",
                                     name);
            free(name);
            return refuse(fusion, "model.branches", "model.modalities", text);
        }
    }
    return check_joint_used(fusion, streams == modalities || used[modalities]);
}

status_t config_check_fusion(const config_t *config, const config_origins_t *origins,
                             const char *name) {
    const fusion_t fusion = {config, origins, name};
    TRY(check_readers(&fusion));
    TRY(check_sizes(&fusion));
    if (strcmp(config->model.joint, "none") == 0) { /* one way to say it */
        return refuse(&fusion, "model.joint", NULL,
                      text_copy("a jmt without joint stream is a model of its own; set model.name: "
                                "jmt_no_joint and leave model.joint at linear"));
    }
    bool given = config->model.branches[0] != '\0' && config->modality_count > 0;
    return given ? check_branches(&fusion) : STATUS_OK;
}
