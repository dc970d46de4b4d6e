/* Batch norm over a batch whose shards lie on several simulated GPUs: the bits of one GPU that has
 * them all, which the test computes beside. */
#include <math.h>

#include "comm/reduce.h"
#include "kernels/base/bytes.h"
#include "mpi/group.h"
#include "trainer/executor.h"

enum { SHARDS = 7, PER_SHARD = 2, LENGTH = 3, DIM = 5, COLS = 37, ROWS = PER_SHARD * LENGTH };
enum { PARAMETERS_MAX = 8 };

static comm_t *comm;
static const device_t *device;
static const kernels_t *kernels;

typedef struct model {
    graph_t *graph;
    int64_t offsets[PARAMETERS_MAX], elements;
    void *weights;
} model_t;

static float wave(int stream, int64_t i) { return sinf(1.7f * (float)i + (float)stream); }

static void *on_device(size_t bytes) {
    void *memory = NULL;
    CHECK_OK(device->alloc(device, bytes, "a test", &memory));
    return memory;
}

/* A linear layer in front, whose gradients show what comes back through the norm. */
static void build(graph_t *graph) {
    row_mask_t mask;
    value_t x = graph_input(graph, "x", DIM, &mask);
    init_t init = {.bound = 1.0};
    parameter_t weight = graph_parameter(graph, "weight", COLS, DIM, init);
    parameter_t bias = graph_parameter(graph, "bias", COLS, 0, init);
    x = graph_linear(graph, "linear", x, weight_of(weight), weight_of(bias), ACTIVATION_NONE);
    batch_norm_t norm = {.rule = NORM_GLOBAL, .epsilon = 1e-5};
    norm.gain = graph_parameter(graph, "gain", COLS, 0, init);
    norm.bias = graph_parameter(graph, "shift", COLS, 0, init);
    norm.mean = graph_parameter(graph, "mean", COLS, 0, init);
    norm.variance = graph_parameter(graph, "variance", COLS, 0, init);
    graph_parameter_statistic(graph, norm.mean, 0.1);
    graph_parameter_statistic(graph, norm.variance, 0.1);
    graph_output(graph, "y", graph_batch_norm(graph, "norm", x, mask, &norm));
    CHECK_OK(graph_check(graph));
}

static model_t model_open(void) {
    model_t m = {.graph = graph_open(LENGTH)};
    build(m.graph);
    REQUIRE(graph_parameter_count(m.graph) <= PARAMETERS_MAX);
    for (int p = 0; p < graph_parameter_count(m.graph); p++) {
        m.offsets[p] = m.elements;
        m.elements += align_up(graph_parameter_info(m.graph, p).count, 16);
    }
    size_t bytes = (size_t)m.elements * sizeof(float);
    float *weights = alloc_zero(m.elements, sizeof *weights);
    for (int64_t i = 0; i < m.elements; i++) {
        weights[i] = 1.5f + wave(1, i);
    }
    m.weights = on_device(bytes);
    device->copy_in(device, m.weights, weights, bytes);
    free(weights);
    return m;
}

static void model_close(model_t *m) {
    device->release(device, m->weights);
    graph_close(m->graph);
}

/* What a run of shards gives: outputs [ROWS, COLS] of each, and the gradient of each. */
typedef struct seen {
    tree_node_t run;
    float *out, *gradient;
} seen_t;

static void fill(executor_t *executor, tree_node_t run) {
    float *x = executor_input(executor, 0);
    uint8_t *mask = executor_mask(executor, 0);
    for (int64_t i = 0; i < (run.end - run.begin) * ROWS; i++) {
        int64_t row = run.begin * ROWS + i;
        mask[i] = row % 5 != 3 && row / ROWS != 2; /* shard 2 has none */
        for (int64_t k = 0; k < DIM; k++) {
            x[i * DIM + k] = mask[i] ? 3.0f * wave(2, row * DIM + k) : 0.0f;
        }
    }
}

static void put_gradient(executor_t *executor, tree_node_t run) {
    matrix_t d = executor_fetch(executor, executor_output_gradient(executor, 0));
    for (int64_t i = 0; i < (run.end - run.begin) * ROWS; i++) {
        float *row = (float *)d.data + i / ROWS * d.shard_stride + i % ROWS * d.row_stride;
        for (int64_t k = 0; k < COLS; k++) {
            row[k] = wave(3, (run.begin * ROWS + i) * COLS + k);
        }
    }
    executor_store(executor);
}

static seen_t see(const model_t *m, tree_node_t run, executor_config_t config) {
    int shards = run.end - run.begin;
    int64_t rows = (int64_t)shards * ROWS;
    seen_t seen = {run, alloc_zero(rows * COLS, sizeof(float)),
                   alloc_zero(shards * m->elements, sizeof(float))};
    size_t bytes = (size_t)(shards * m->elements) * sizeof(float);
    char *gradient = on_device(bytes);
    executor_t *executor = NULL;
    config.kernels = kernels;
    config.device = device;
    config.samples_per_shard = PER_SHARD;
    config.shard_count = shards;
    config.shard_first = run.begin;
    config.backward = true;
    CHECK_OK(executor_open(m->graph, &config, &executor));
    executor_state_t state = {.offsets = m->offsets, .weights = m->weights, .part_count = shards};
    for (int s = 0; s < shards; s++) {
        state.parts[s] = gradient + (size_t)(s * m->elements) * sizeof(float);
        state.part_leaves[s] = (tree_node_t){run.begin + s, run.begin + s + 1};
    }
    executor_bind(executor, &state);
    step_scalars_t scalars = {.seed = 1, .shard_first = run.begin, .training = true};
    fill(executor, run);
    CHECK_OK(executor_forward(executor, &scalars));
    matrix_t out = executor_fetch(executor, executor_output(executor, 0));
    for (int64_t i = 0; i < rows; i++) {
        executor_read_row(executor, out, i, seen.out + i * COLS);
    }
    put_gradient(executor, run);
    CHECK_OK(executor_backward(executor, &scalars, NULL, NULL));
    device->copy_out(device, seen.gradient, gradient, bytes);
    executor_close(executor);
    device->release(device, gradient);
    return seen;
}

static void seen_close(seen_t *seen) {
    free(seen->out);
    free(seen->gradient);
}

static status_t gather(void *context, double *all, int64_t count) {
    int64_t begins[SHARDS + 1];
    for (int r = 0; r <= comm_size(comm); r++) {
        begins[r] = tree_run(SHARDS, r, comm_size(comm)).begin * count;
    }
    return reduce_gather(context, all, begins, "batch norm");
}

static bool is_part(const model_t *m, const seen_t *part, const seen_t *whole) {
    int64_t first = part->run.begin - whole->run.begin, shards = part->run.end - part->run.begin;
    size_t out = (size_t)(shards * ROWS * COLS) * sizeof(float);
    size_t gradient = (size_t)(shards * m->elements) * sizeof(float);
    return memcmp(part->out, whole->out + first * ROWS * COLS, out) == 0 &&
           memcmp(part->gradient, whole->gradient + first * m->elements, gradient) == 0;
}

/* Another batch of the same shards is no part of it: so the batch is seen as a whole. */
static void bits_of_one_gpu(void **state) {
    (void)state;
    chunk_t chunk = {0, 16, 0};
    bucket_t bucket = {0, 1};
    reduce_layout_t layout = {.elements = 16,
                              .chunks = &chunk,
                              .chunk_count = 1,
                              .buckets = &bucket,
                              .bucket_count = 1,
                              .shards = SHARDS};
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &layout, false, device, kernels->add, &reduce));
    model_t m = model_open();
    tree_node_t run = tree_run(SHARDS, comm_rank(comm), comm_size(comm));
    executor_config_t together = {
        .gather = gather, .gather_context = reduce, .batch_shards = SHARDS};
    seen_t mine = see(&m, run, together);
    seen_t alone = see(&m, run, (executor_config_t){0});
    seen_t whole = see(&m, (tree_node_t){0, SHARDS}, (executor_config_t){0});
    assert_true(is_part(&m, &mine, &whole));
    assert_int_equal(is_part(&m, &alone, &whole), comm_size(comm) == 1);
    seen_close(&mine);
    seen_close(&alone);
    seen_close(&whole);
    model_close(&m);
    reduce_close(reduce);
}

int main(void) {
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 30.0}, &comm));
    CHECK_OK(device_open("cuda", comm_rank(comm), comm_size(comm), &device));
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_one_gpu),
    };
    int failures = RUN_GROUP_TESTS(comm, tests);
    device_close(device);
    comm_close(comm);
    return failures;
}
