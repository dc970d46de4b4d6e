#include "trainer/weights_names.h"

#include <string.h>

#include "kernels/base/bytes.h"

/* The beginning of a name, and what stands for it in the other file. 1, 2: the model's first and
 * second stream. */
typedef struct rule {
    const char *ours, *theirs;
} rule_t;

static const rule_t streams[] = {
    {"1.encoder.", "mm_transformer.visual_encoder.layers."},
    {"2.encoder.", "mm_transformer.physiological_encoder.layers."},
    {"joint.encoder.", "mm_transformer.joint_representation_encoder.layers."},
    {"token.encoder.", "mm_transformer.final_visual_encoder.layers."},
    {"1.cross.", "mm_transformer.cross_attention_v."},
    {"2.cross.", "mm_transformer.cross_attention_p."},
    {"joint.cross.", "mm_transformer.cross_attention_pv."},
    {"joint.projection.", "mm_transformer.out_layer_pv."},
    {"token.attention.", "mm_transformer.final_self_attention."},
    {"fusion.", "mm_transformer.out_layer1."},
    {"valence.head.", "vregressor."},
    {"arousal.head.", "aregressor."},
};

/* Within a layer of an encoder. */
static const rule_t parts[] = {
    {".attention.", ".attention."},    {".linear1.", ".feed_forward.0."},
    {".linear2.", ".feed_forward.2."}, {".norm1.", ".layer_norm1."},
    {".norm2.", ".layer_norm2."},
};

/* What stands behind `beginning`, in which 1 and 2 mean the model's streams; NULL: another name. */
static const char *behind(const config_t *config, const char *name, const char *beginning) {
    int indices[CONFIG_MODALITIES_MAX], stream = beginning[0] - '1';
    int count = config_streams(config, indices);
    if (stream == 0 || stream == 1) {
        const char *first = stream < count ? config->modalities[indices[stream]].name : "";
        size_t length = strlen(first);
        if (length == 0 || strncmp(name, first, length) != 0) {
            return NULL;
        }
        name += length;
        beginning++;
    }
    size_t length = strlen(beginning);
    return strncmp(name, beginning, length) == 0 ? name + length : NULL;
}

/* "0.linear1.weight" -> "0.feed_forward.0.weight" */
static name_t part_name(const char *rest) {
    size_t layer = strspn(rest, "0123456789");
    for (int i = 0; i < ARRAY_LEN(parts); i++) {
        size_t length = strlen(parts[i].ours);
        if (layer > 0 && strncmp(rest + layer, parts[i].ours, length) == 0) {
            return name_of("%.*s%s%s", (int)layer, rest, parts[i].theirs, rest + layer + length);
        }
    }
    return name_of("%s", rest);
}

static bool published_name(const config_t *config, const char *name, name_t *name_out) {
    for (int i = 0; i < ARRAY_LEN(streams); i++) {
        const char *rest = behind(config, name, streams[i].ours);
        if (rest != NULL) {
            *name_out = name_of("%s%s", streams[i].theirs, part_name(rest).text);
            return true;
        }
    }
    return false;
}

int weights_names(const config_t *config, const char *modality, const char *name,
                  name_t names_out[WEIGHTS_NAMES_MAX]) {
    int count = 0;
    names_out[count++] = name_of("%s", name);
    name_t backbone = name_of("%s.backbone.", modality);
    size_t length = strlen(backbone.text);
    if (modality[0] != '\0' && strncmp(name, backbone.text, length) == 0) {
        names_out[count++] = name_of("%s", name + length);
    }
    count += published_name(config, name, &names_out[count]);
    return count;
}
