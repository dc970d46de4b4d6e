/* The vanilla multimodal transformer (jmt.md 1.8), the paper's baseline: no joint stream or tokens.
 *
 *   s = Encoder_s(s)           over time, for each modality
 *   t = Attention_q(q, k)      for every ordered pair q <- k, weights of the query's modality
 *   z = W [t1; ...; tT] + b
 *
 * A pair whose query step is masked, or whose keys all are, gives 0 (jmt.md 5: the branch is
 * dropped). */
#include "trainer/models.h"

typedef struct mt {
    encoder_t encoder[STREAMS_MAX];
    attention_t cross[STREAMS_MAX];
    linear_t fusion;
} mt_t;

static mt_t make_parameters(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t dim = config->model.dim, ff = config->model.ff, heads = config->model.heads;
    mt_t mt;
    for (int m = 0; m < input->count; m++) {
        mt.encoder[m] = encoder_make(graph, input->name[m], config->model.layers, dim, ff, heads);
    }
    for (int m = 0; m < input->count; m++) {
        mt.cross[m] = attention_make(graph, name_of("%s.cross", input->name[m]).text, dim, heads);
    }
    mt.fusion = linear_make(graph, FUSION_NAME, input->count * (input->count - 1) * dim, dim);
    return mt;
}

value_t model_mt(graph_t *graph, const config_t *config, const model_input_t *input) {
    mt_t mt = make_parameters(graph, config, input);
    stream_t stream[STREAMS_MAX];
    value_t query[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        stream[m] = input->stream[m];
        stream[m].x = encoder_apply(graph, input->name[m], &mt.encoder[m], stream[m], 1);
    }
    for (int m = 0; m < input->count; m++) {
        query[m] = attention_query(graph, name_of("%s.cross", input->name[m]).text, mt.cross[m],
                                   stream[m].x);
    }
    value_t pair[OP_INPUTS_MAX];
    int pairs = 0;
    for (int i = 0; i < input->count; i++) {
        for (int j = i + 1; j < input->count; j++) {
            int ends[2][2] = {{i, j}, {j, i}};
            for (int e = 0; e < 2; e++) {
                int q = ends[e][0], k = ends[e][1];
                name_t name = name_of("%s.cross.%s", input->name[q], input->name[k]);
                value_t t = attention_cross(graph, name.text, mt.cross[q], query[q], stream[k], 1);
                row_mask_t valid = graph_mask_tokens(graph, &stream[q].mask, &stream[k].mask, 1);
                pair[pairs++] =
                    graph_mask_rows(graph, name_of("%s.valid", name.text).text, t, valid);
            }
        }
    }
    value_t all = graph_concat(graph, "fusion.concat", pair, pairs);
    return linear_apply(graph, FUSION_NAME, mt.fusion, all, ACTIVATION_NONE);
}
