/* The joint multimodal transformer (arXiv 2403.10488, section 3; jmt.md 1.6).
 *
 * For modalities m1..mM, each a stream of d features per time step:
 *
 *   (1)  J = W_J [m1; ...; mM] + b_J               joint stream                       jmt.md 1.6.1
 *   (2)  s = Encoder_s(s)                          over time, for s in m1..mM, J      jmt.md 1.6.2
 *   (3)  t = softmax(Q_q(q) K_q(k)' / sqrt(d_h)) V_q(k), projected out                jmt.md 1.6.3
 *            for every ordered pair of streams q <- k: one token per time step; the weights are
 *            those of the query's stream; no residual, normalisation or feed-forward around it
 *   (4)  z = SelfAttention(Encoder(t1..tT)), last  over the T tokens of a time step   jmt.md 1.6.4
 *
 * Heads follow in models.c. A masked step of a modality is 0 in (1), no key in (2) and (3), and
 * makes the tokens that query it invalid in (4); last is the last valid one (jmt.md 5).
 *
 * Settings may make J otherwise and put a learned vector where a modality is missing, leave out
 * branches of (3), give each its own weights and the usual blocks around it, choose another (4);
 * `jmt_no_joint` has no J, and `mt`, the vanilla multimodal transformer (jmt.md 1.8), neither J nor
 * (4) but z = W [t1; ...; tT] + b. */
#include <string.h>

#include "trainer/branches.h"

typedef enum { JOINT_LINEAR, JOINT_MLP, JOINT_SUM } joint_kind_t;
typedef struct joint {
    joint_kind_t kind;
    bool filled;
    parameter_t missing[STREAMS_MAX]; /* what stands in J for a modality that is missing */
    linear_t projection, hidden;
} joint_t;

/* Order of creation is that of jmt.md, appendix A. */
typedef struct jmt {
    int modalities, streams, branches; /* J, if there, is the last stream */
    const char *name[STREAMS_MAX];
    branch_t branch[OP_INPUTS_MAX];
    bool separate;
    joint_t joint; /* (1) */
    bool literal;
    encoder_t encoder[STREAMS_MAX]; /* (2) */
    cross_t cross[OP_INPUTS_MAX];   /* (3), by branch */
} jmt_t;

static bool in_use(const jmt_t *jmt, int stream) {
    return branches_have(jmt->branch, jmt->branches, stream);
}

/* The parameters of branch b: its own, or those of its query's stream. */
static name_t cross_name(const jmt_t *jmt, int b) {
    const char *query = jmt->name[jmt->branch[b].query], *key = jmt->name[jmt->branch[b].key];
    return jmt->separate ? name_of("%s.cross.%s", query, key) : name_of("%s.cross", query);
}

/* The first branch with the weights of branch b. */
static int first_of(const jmt_t *jmt, int b) {
    int first = 0;
    while (!jmt->separate && jmt->branch[first].query != jmt->branch[b].query) {
        first++;
    }
    return jmt->separate ? b : first;
}

/* How many branches have the weights of branch b. */
static int with_weights_of(const jmt_t *jmt, int b) {
    int count = 0;
    for (int other = 0; other < jmt->branches; other++) {
        count += first_of(jmt, other) == first_of(jmt, b);
    }
    return count;
}

/* Shared sets in the order of their streams, separate ones in the order of the branches. */
static void make_cross(graph_t *graph, const config_t *config, block_spec_t spec, jmt_t *jmt) {
    spec.literal = jmt->literal;
    for (int s = 0; s < (jmt->separate ? 1 : jmt->streams); s++) {
        for (int b = 0; b < jmt->branches; b++) {
            int first = first_of(jmt, b);
            if (!jmt->separate && jmt->branch[b].query != s) {
                continue;
            }
            jmt->cross[b] = first < b
                                ? jmt->cross[first]
                                : cross_make(graph, cross_name(jmt, b).text, &spec,
                                             config->model.cross_residual, config->model.cross_ffn);
        }
    }
}

static joint_t make_joint(graph_t *graph, const config_t *config, const jmt_t *jmt) {
    int64_t dim = config->model.dim, hidden = config->model.ff, all = jmt->modalities * dim;
    joint_t joint = {.filled = strcmp(config->model.missing, "learned") == 0};
    for (int i = 0; joint.filled && i < jmt->modalities; i++) {
        joint.missing[i] = table_make(graph, name_of("%s.missing", jmt->name[i]).text, 1, dim);
    }
    if (strcmp(config->model.joint, "sum") == 0) {
        joint.kind = JOINT_SUM;
    } else if (strcmp(config->model.joint, "mlp") == 0) {
        joint.kind = JOINT_MLP;
        joint.hidden = linear_make(graph, "joint.linear1", all, hidden);
        joint.projection = linear_make(graph, "joint.linear2", hidden, dim);
    } else {
        joint.projection = linear_make(graph, "joint.projection", all, dim);
    }
    return joint;
}

static jmt_t make_parameters(graph_t *graph, const config_t *config, const model_input_t *input,
                             bool joint) {
    block_spec_t spec = spec_of(config);
    jmt_t jmt = {.modalities = input->count, .streams = input->count + joint};
    memcpy(jmt.name, input->name, sizeof jmt.name);
    jmt.name[jmt.modalities] = JOINT_NAME;
    jmt.literal = strcmp(config->model.attn_form, "paper_literal") == 0;
    jmt.separate = strcmp(config->model.cross_weights, "separate") == 0;
    jmt.branches = list_branches(config, jmt.name, jmt.modalities, joint, jmt.branch);
    if (joint && in_use(&jmt, jmt.modalities)) {
        jmt.joint = make_joint(graph, config, &jmt);
    }
    block_spec_t over_time = spec;
    over_time.across = config->parity.attention_over_samples;
    for (int s = 0; s < jmt.streams; s++) {
        if (in_use(&jmt, s)) {
            jmt.encoder[s] = encoder_make(graph, jmt.name[s], &over_time);
        }
    }
    make_cross(graph, config, spec, &jmt);
    return jmt;
}

/* (1) */
static stream_t joint_stream(graph_t *graph, const jmt_t *jmt, const model_input_t *input) {
    const joint_t *joint = &jmt->joint;
    stream_t part[STREAMS_MAX];
    value_t x[STREAMS_MAX];
    row_mask_t mask[STREAMS_MAX];
    for (int i = 0; i < input->count; i++) {
        part[i] = input->stream[i];
        if (joint->filled) {
            part[i].x = graph_fill_rows(graph, name_of("%s.missing", input->name[i]).text,
                                        part[i].x, part[i].mask, joint->missing[i]);
        }
        x[i] = part[i].x;
        mask[i] = part[i].mask;
    }
    if (joint->kind == JOINT_SUM) {
        return (stream_t){graph_sum(graph, "joint.sum", x, input->count),
                          graph_mask_any(graph, mask, input->count)};
    }
    stream_t all = concat_streams(graph, "joint.concat", part, input->count);
    bool deep = joint->kind == JOINT_MLP;
    if (deep) {
        all.x = linear_apply(graph, "joint.linear1", joint->hidden, all.x, ACTIVATION_RELU);
    }
    all.x = linear_apply(graph, deep ? "joint.linear2" : "joint.projection", joint->projection,
                         all.x, ACTIVATION_NONE);
    return all;
}

/* (3) */
static void cross_attend(graph_t *graph, const jmt_t *jmt, const stream_t *stream,
                         tokens_t *tokens_out) {
    query_t query[OP_INPUTS_MAX]; /* once for all branches with the same weights (jmt.md 7.3) */
    for (int s = 0; s < (jmt->separate ? 1 : jmt->streams); s++) {
        for (int b = 0; b < jmt->branches; b++) {
            if (jmt->separate || jmt->branch[b].query == s) {
                int first = first_of(jmt, b);
                query[b] = first < b
                               ? query[first]
                               : attention_query(graph, cross_name(jmt, b).text,
                                                 jmt->cross[b].layer.attention,
                                                 stream[jmt->branch[b].query].x,
                                                 graph_length(graph), with_weights_of(jmt, b));
            }
        }
    }
    tokens_out->count = jmt->branches;
    for (int b = 0; b < jmt->branches; b++) {
        int q = jmt->branch[b].query, k = jmt->branch[b].key;
        tokens_out->name[b] = name_of("%s.cross.%s", jmt->name[q], jmt->name[k]);
        stream_t key = stream[k];
        if (jmt->literal) { /* a step counts where both have it */
            key.mask = graph_mask_all(graph, (row_mask_t[]){stream[q].mask, key.mask}, 2);
        }
        tokens_out->x[b] = cross_apply(graph, tokens_out->name[b].text, &jmt->cross[b], stream[q].x,
                                       query[b], key);
        tokens_out->query[b] = jmt->literal ? key.mask : stream[q].mask;
        tokens_out->key[b] = key.mask;
    }
}

/* (1) to (3) */
static void make_tokens(graph_t *graph, const config_t *config, const model_input_t *input,
                        bool joint, tokens_t *tokens_out) {
    jmt_t jmt = make_parameters(graph, config, input, joint);
    stream_t stream[STREAMS_MAX];
    memcpy(stream, input->stream, sizeof stream);
    if (joint && in_use(&jmt, jmt.modalities)) {
        stream[jmt.modalities] = joint_stream(graph, &jmt, input);
    }
    for (int s = 0; s < jmt.streams; s++) {
        if (in_use(&jmt, s)) { /* (2) */
            stream[s].x = encoder_apply(graph, jmt.name[s], &jmt.encoder[s], stream[s], 1);
        }
    }
    cross_attend(graph, &jmt, stream, tokens_out);
}

/* (4) */
static value_t fuse_tokens(graph_t *graph, const config_t *config, const tokens_t *tokens,
                           int64_t fc_width) {
    if (strcmp(config->model.output, "fc") == 0) {
        return output_fc(graph, config, tokens, fc_width);
    }
    if (strcmp(config->model.output, "concat_encoder") == 0) {
        return output_concat_encoder(graph, config, tokens);
    }
    return output_self_attention(graph, config, tokens);
}

value_t model_jmt(graph_t *graph, const config_t *config, const model_input_t *input) {
    tokens_t tokens;
    make_tokens(graph, config, input, true, &tokens);
    return fuse_tokens(graph, config, &tokens, 2 * config->model.dim);
}

value_t model_jmt_no_joint(graph_t *graph, const config_t *config, const model_input_t *input) {
    tokens_t tokens;
    make_tokens(graph, config, input, false, &tokens);
    return fuse_tokens(graph, config, &tokens, config->model.dim);
}

value_t model_mt(graph_t *graph, const config_t *config, const model_input_t *input) {
    tokens_t tokens;
    make_tokens(graph, config, input, false, &tokens);
    return output_fc(graph, config, &tokens, config->model.dim);
}
