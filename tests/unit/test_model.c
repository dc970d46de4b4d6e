/* The size of each model against jmt.md 7.2, the names and their order, and what is refused. */
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/flat_state.h"
#include "trainer/models.h"

static graph_t *build(const char *model, int modalities, config_t **config_out) {
    static const char *const list[] = {
        "video: {dim: 512}", "video: {dim: 512}, audio: {dim: 512}",
        "video: {dim: 512}, audio: {dim: 512}, text: {dim: 512}",
        "a: {dim: 512}, b: {dim: 512}, c: {dim: 512}, d: {dim: 512}"};
    char *yaml = text_format("model: {name: %s}\ndata: {window: 16}\nmodalities: {%s}\n"
                             "targets: {valence: {loss: ccc}, arousal: {loss: ccc}}\n",
                             model, list[modalities - 1]);
    int64_t dims[] = {512, 512, 512, 512};
    graph_t *graph = NULL;
    CHECK_OK(config_parse(yaml, "test", NULL, 0, config_out));
    CHECK_OK(model_build(*config_out, dims, &graph));
    free(yaml);
    return graph;
}

static void sizes_are_those_of_the_paper(void **state) {
    (void)state;
    static const struct {
        const char *model;
        int modalities;
        int64_t parameters, macs; /* macs of the step as executed: query projected once per stream,
                                     the last attention for one token only (jmt.md 7.3), which
                                     applies K and V once, not to each of six, as K is where
                                     several branches share a query */
    } rows[] = {
        {"jmt", 2, 11170818, 386830336 - 16 * (10 + 3) * 512 * 512},
        {"jmt, heads: 2", 2, 11170818, 386830336},
        {"jmt, attn_form: paper_literal", 2, 11170818, 386830336 - 16 * 10 * 512 * 512},
        {"jmt", 3, 14061570, /* d x d of a step: joint, encoders, Q and K, V and O, tokens, last */
         16 * (3 + 4 * 6 + 4 * 2 + 12 * 2 + 12 * 6 + 4) * 512 * 512 +
             512 * (2 * 16 * 16 * (4 + 12) + 16 * 2 * 12 * (12 + 1)) + 2 * 16 * (512 * 128 + 128)},
        {"jmt", 4, 16952322, 0},
        {"jmt_no_joint", 2, 8017410, /* of each query one branch */
         16 * (2 * 6 + 2 * 4 + 2 * 6 + 4) * 512 * 512 +
             512 * (2 * 16 * 16 * (2 + 2) + 16 * 2 * 2 * (2 + 1)) + 2 * 16 * (512 * 128 + 128)},
        {"jmt, output: fc", 2, 11820034, 0},
        {"jmt, cross_weights: separate", 2, 14322690, 386830336 - 16 * (10 - 3) * 512 * 512},
        {"jmt, joint: sum", 2, 11170818 - 524800, 0},
        {"jmt, joint: mlp, ff: 512", 2, 11170818 + 512 * 512 + 512, 0},
        {"jmt, missing: learned", 3, 14061570 + 3 * 512, 0},
        {"concat, normalize: layernorm", 2, 656386 + 2 * 1024, 0},
        {"jmt_no_joint, output: fc", 2, 5913602, 0},
        {"decision", 2, 2 * 65922, 0},
        {"concat_att", 2, 656386 + 1024 * 1024 + 1024, 0},
        {"jca", 2, 330754,
         55840768}, /* 2 x 34,048 and heads of 1,024: the products by hand below */
        {"rjcma, recursions: 3", 2, 330754, 3 * 51642368 + 4198400},
        {"jca", 3, 3 * (256 + 2 * 512 + 32 * 1536) + 2 * (1536 * 128 + 257), 0},
        {"lfan", 2, 6 * 16416 + 64 + 2 * (576 * 128 + 257), 0},
        {"lfan, fusion_dim: 64, heads: 2", 3, 9 * 32832 + 128 + 2 * (704 * 128 + 257), 0},
        {"can, fusion_dim: 128", 2, 2 * 65664 + 514 + 2 * (256 * 128 + 257), 0},
        {"mt", 2, 5913602, 0},
        {"concat", 2, 656386, 0},
        {"unimodal", 1, 65922, 0},
    };
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        config_t *config = NULL;
        graph_t *graph = build(rows[i].model, rows[i].modalities, &config);
        assert_int_equal(graph_parameter_elements(graph), rows[i].parameters);
        if (rows[i].macs > 0) {
            assert_int_equal(graph_macs(graph), rows[i].macs);
        }
        graph_close(graph);
        config_free(config);
    }
}

static void names_follow_appendix_a(void **state) {
    (void)state;
    static const char *const first[] = {
        "joint.projection.weight",
        "joint.projection.bias",
        "video.encoder.0.attention.in_proj_weight",
        "video.encoder.0.attention.in_proj_bias",
        "video.encoder.0.attention.out_proj.weight",
        "video.encoder.0.attention.out_proj.bias",
        "video.encoder.0.linear1.weight",
        "video.encoder.0.linear1.bias",
        "video.encoder.0.linear2.weight",
        "video.encoder.0.linear2.bias",
        "video.encoder.0.norm1.weight",
        "video.encoder.0.norm1.bias",
        "video.encoder.0.norm2.weight",
        "video.encoder.0.norm2.bias",
        "audio.encoder.0.attention.in_proj_weight",
    };
    config_t *config = NULL;
    graph_t *graph = build("jmt", 2, &config);
    assert_int_equal(graph_parameter_count(graph), 74);
    for (int i = 0; i < ARRAY_LEN(first); i++) {
        assert_string_equal(graph_parameter_info(graph, i).name, first[i]);
    }
    assert_string_equal(graph_parameter_info(graph, 38).name, "video.cross.in_proj_weight");
    assert_string_equal(graph_parameter_info(graph, 50).name,
                        "token.encoder.0.attention.in_proj_weight");
    assert_string_equal(graph_parameter_info(graph, 73).name, "arousal.head.3.bias");
    graph_close(graph);
    config_free(config);
}

static void flat_state_covers_every_element_once(void **state) {
    (void)state;
    config_t *config = NULL;
    graph_t *graph = build("jmt", 2, &config);
    flat_state_t flat;
    CHECK_OK(flat_state_make(graph, &flat));
    char *seen = alloc_zero(flat.elements, 1);
    int64_t covered = 0;
    for (int64_t c = 0; c < flat.chunk_count; c++) {
        const chunk_t *chunk = &flat.chunks[c];
        parameter_info_t info = graph_parameter_info(graph, chunk->tensor);
        int64_t begin = chunk->offset - flat.offsets[chunk->tensor];
        assert_true(begin >= 0 && begin + chunk->count <= info.count);
        assert_true(chunk->count >= 1 && chunk->count <= CHUNK_ELEMENTS);
        for (int64_t i = 0; i < chunk->count; i++) {
            assert_int_equal(seen[chunk->offset + i]++, 0);
        }
        covered += chunk->count;
    }
    assert_int_equal(covered, graph_parameter_elements(graph));
    int64_t next = 0;
    for (int b = 0; b < flat.bucket_count; b++) {
        assert_int_equal(flat.buckets[b].chunk_begin, next);
        next = flat.buckets[b].chunk_end;
    }
    assert_int_equal(next, flat.chunk_count);
    free(seen);
    flat_state_free(&flat);
    graph_close(graph);
    config_free(config);
}

static void initial_weights_depend_on_seed_and_name_alone(void **state) {
    (void)state;
    config_t *config = NULL;
    graph_t *graph = build("concat", 2, &config);
    flat_state_t flat;
    CHECK_OK(flat_state_make(graph, &flat));
    float *a = alloc_aligned((size_t)flat.elements * 4),
          *b = alloc_aligned((size_t)flat.elements * 4);
    flat_state_init(&flat, graph, 1, a);
    flat_state_init(&flat, graph, 1, b);
    assert_memory_equal(a, b, (size_t)flat.elements * 4);
    flat_state_init(&flat, graph, 2, b);
    assert_true(memcmp(a, b, (size_t)flat.elements * 4) != 0);
    double bound = 1.0 / 32.0, largest = 0.0; /* 1/sqrt(1024) of the first Linear */
    for (int64_t i = 0; i < graph_parameter_info(graph, 0).count; i++) {
        double w = (double)a[flat.offsets[0] + i];
        largest = w > largest ? w : largest;
        assert_true(w >= -bound && w <= bound);
    }
    assert_true(largest > 0.99 * bound);
    free(a);
    free(b);
    flat_state_free(&flat);
    graph_close(graph);
    config_free(config);
}

/* What the settings cannot refuse because it depends on the data, or that reaches the model another
 * way. */
static config_t *settings(const char *modalities) {
    char *yaml = text_format("model: {name: jmt, dim: 8, heads: 2, ff: 8}\nmodalities: {%s}\n"
                             "targets: {v: {loss: ccc}}\n",
                             modalities);
    config_t *config = NULL;
    CHECK_OK(config_parse(yaml, "test", NULL, 0, &config));
    free(yaml);
    return config;
}

static void check_refused(config_t *config, const char *model, const int64_t *dims,
                          const char *text) {
    graph_t *graph = NULL;
    free(config->model.name);
    config->model.name = text_copy(model);
    CHECK_FAILS(model_build(config, dims, &graph), STATUS_INPUT, text);
    config_free(config);
}

static void impossible_models_are_refused(void **state) {
    (void)state;
    int64_t dims[9] = {8, 8, 8, 8, 8, 8, 8, 8, 8};
    check_refused(settings("a: {}"), "mt", dims, "model mt takes 2 to 8 modalities, not 1");
    check_refused(settings("a: {}, b: {}"), "unimodal", dims, "takes 1 to 1 modalities, not 2");
    check_refused(settings("a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}"), "jmt", dims,
                  "model jmt takes 1 to 7 modalities, not 8");
    check_refused(settings("a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}, i: {}"), "mt",
                  dims, "model mt takes 2 to 8 modalities, not 9");
    check_refused(settings("a: {}, joint: {}"), "jmt", dims, "rename modalities.joint");
    check_refused(settings("a: {}, fusion: {}"), "concat", dims, "rename modalities.fusion");
    config_t *config = settings("a: {}, b: {}");
    config->model.heads = 3;
    check_refused(config, "jmt", dims, "heads do not divide the width");
    config = settings("a: {}, b: {front: none}");
    dims[1] = 5;
    check_refused(config, "jmt", dims, "modalities.b has 5 features but model.dim is 8");
}

/* The most that fits: 7 modalities make 56 tokens, 8 make 56 pairs. */
static void largest_models_can_be_built(void **state) {
    (void)state;
    int64_t dims[8] = {8, 8, 8, 8, 8, 8, 8, 8};
    config_t *config = settings("a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}");
    graph_t *graph = NULL;
    CHECK_OK(model_build(config, dims, &graph));
    graph_close(graph);
    config_free(config);
    config = settings("a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}");
    free(config->model.name);
    config->model.name = text_copy("mt");
    CHECK_OK(model_build(config, dims, &graph));
    graph_close(graph);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_paper),
        cmocka_unit_test(names_follow_appendix_a),
        cmocka_unit_test(flat_state_covers_every_element_once),
        cmocka_unit_test(initial_weights_depend_on_seed_and_name_alone),
        cmocka_unit_test(impossible_models_are_refused),
        cmocka_unit_test(largest_models_can_be_built),
    };
    return RUN_TESTS(tests);
}
