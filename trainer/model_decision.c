/* Decision fusion (jmt.md 1.8): a unimodal model per modality, its hidden layer shared by all
 * targets; of each target the mean of their predictions, for classes the sum of their logits, over
 * the modalities that are valid at the step. */
#include "trainer/models.h"

typedef struct expert {
    linear_t hidden, out[CONFIG_TARGETS_MAX];
} expert_t;

static name_t out_name(const config_t *config, const model_input_t *input, int m, int target) {
    return name_of("%s.%s.head.3", input->name[m], config->targets[target].name);
}

static expert_t make_expert(graph_t *graph, const config_t *config, const model_input_t *input,
                            int m) {
    int64_t width = config->model.head_hidden;
    expert_t expert = {.hidden = head_hidden_make(graph, name_of("%s.head", input->name[m]).text,
                                                  config->model.dim, width)};
    for (int t = 0; t < config->target_count; t++) {
        expert.out[t] = linear_make(graph, out_name(config, input, m, t).text, width,
                                    target_columns(&config->targets[t]));
    }
    return expert;
}

value_t model_decision(graph_t *graph, const config_t *config, const model_input_t *input) {
    expert_t expert[STREAMS_MAX];
    value_t hidden[STREAMS_MAX], y[STREAMS_MAX];
    row_mask_t mask[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        expert[m] = make_expert(graph, config, input, m);
        mask[m] = input->stream[m].mask;
    }
    for (int m = 0; m < input->count; m++) {
        hidden[m] = head_hidden(graph, name_of("%s.head", input->name[m]).text, expert[m].hidden,
                                input->stream[m].x, config->model.head_dropout);
    }
    row_mask_t valid = graph_mask_tokens(graph, mask, mask, input->count, false);
    for (int t = 0; t < config->target_count; t++) {
        const char *target = config->targets[t].name;
        bool classes = target_classes(&config->targets[t]) > 0;
        for (int m = 0; m < input->count; m++) {
            y[m] = linear_apply(graph, out_name(config, input, m, t).text, expert[m].out[t],
                                hidden[m], ACTIVATION_NONE);
        }
        value_t all = graph_tokens(graph, name_of("%s.stack", target).text, y, input->count);
        graph_output(graph, target,
                     graph_select_token(graph, name_of("%s.decision", target).text, all,
                                        input->count, valid, classes ? TOKEN_SUM : TOKEN_MEAN));
    }
    return y[0];
}
