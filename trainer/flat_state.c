#include "trainer/flat_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

static void add_chunks(flat_state_t *flat, int parameter, int64_t offset, int64_t count) {
    for (int64_t done = 0; done < count; done += CHUNK_ELEMENTS) {
        flat->chunks = array_grow(flat->chunks, flat->chunk_count, sizeof *flat->chunks);
        flat->chunks[flat->chunk_count++] =
            (chunk_t){offset + done, (int32_t)min_i64(count - done, CHUNK_ELEMENTS), parameter};
    }
}

static void close_bucket(flat_state_t *flat) {
    int64_t begin = flat->bucket_count > 0 ? flat->buckets[flat->bucket_count - 1].chunk_end : 0;
    flat->buckets = array_grow(flat->buckets, flat->bucket_count, sizeof *flat->buckets);
    flat->buckets[flat->bucket_count++] = (bucket_t){begin, flat->chunk_count};
}

static void place_constants(flat_state_t *flat, const graph_t *graph,
                            const completion_t *completion) {
    int count = graph_parameter_count(graph);
    bool *placed = alloc_zero(count, sizeof *placed);
    for (int i = 0; i < completion->unit_begin[completion->unit_count]; i++) {
        placed[completion->parameters[i]] = true;
    }
    for (parameter_t p = 0; p < count; p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        REQUIRE(placed[p] || info.role == PARAMETER_FIXED);
        if (!placed[p]) {
            flat->offsets[p] = flat->elements + flat->constants;
            flat->constants += align_up(info.count, FLAT_ALIGNMENT);
        }
    }
    free(placed);
}

status_t flat_state_make(const graph_t *graph, flat_state_t *flat_out) {
    completion_t completion;
    TRY(completion_of(graph, &completion));
    flat_state_t flat = {0};
    flat.offsets = alloc_zero(graph_parameter_count(graph), sizeof *flat.offsets);
    flat.bucket_after_unit = alloc_zero(completion.unit_count, sizeof *flat.bucket_after_unit);
    int64_t in_bucket = 0;
    for (int u = 0; u < completion.unit_count; u++) {
        for (int i = completion.unit_begin[u]; i < completion.unit_begin[u + 1]; i++) {
            parameter_t p = completion.parameters[i];
            int64_t count = graph_parameter_info(graph, p).count;
            flat.offsets[p] = flat.elements;
            add_chunks(&flat, p, flat.elements, count);
            flat.elements += align_up(count, FLAT_ALIGNMENT);
            in_bucket += count;
        }
        flat.bucket_after_unit[u] = -1;
        if (in_bucket >= BUCKET_ELEMENTS || u == completion.unit_count - 1) {
            flat.bucket_after_unit[u] = flat.bucket_count;
            close_bucket(&flat);
            in_bucket = 0;
        }
    }
    place_constants(&flat, graph, &completion);
    completion_free(&completion);
    *flat_out = flat;
    return STATUS_OK;
}

void flat_state_free(flat_state_t *flat) {
    free(flat->offsets);
    free(flat->chunks);
    free(flat->buckets);
    free(flat->bucket_after_unit);
    *flat = (flat_state_t){0};
}

reduce_layout_t flat_state_layout(const flat_state_t *flat, int shards) {
    return (reduce_layout_t){
        .elements = flat->elements,
        .constants = flat->constants,
        .chunks = flat->chunks,
        .chunk_count = flat->chunk_count,
        .buckets = flat->buckets,
        .bucket_count = flat->bucket_count,
        .shards = shards,
    };
}

/* Norms of the rows of a parameter that is already there. */
static void fill_norms(const flat_state_t *flat, const graph_t *graph, parameter_t of,
                       float *weights, float *norms) {
    parameter_info_t info = graph_parameter_info(graph, of);
    int64_t width = info.count / info.rows;
    for (int64_t r = 0; r < info.rows; r++) {
        double square = 0.0;
        for (int64_t c = 0; c < width; c++) {
            double w = (double)weights[flat->offsets[of] + r * width + c];
            square += w * w;
        }
        norms[r] = (float)sqrt(square);
    }
}

bool flat_state_is_constant(const flat_state_t *flat, parameter_t parameter) {
    return flat->offsets[parameter] >= flat->elements;
}

void flat_state_init(const flat_state_t *flat, const graph_t *graph, uint64_t seed,
                     float *weights) {
    for (int p = 0; p < graph_parameter_count(graph); p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        float *w = weights + flat->offsets[p];
        if (info.init.row_norms) {
            fill_norms(flat, graph, info.init.of, weights, w);
            continue;
        }
        rng_key_t key = {seed, rng_name(info.name), rng_name("init")};
        for (int64_t i = 0; i < info.count; i++) {
            if (info.init.bound > 0.0) {
                w[i] =
                    (float)(info.init.bound * (2.0 * (double)rng_uniform(key, (uint64_t)i) - 1.0));
            } else {
                w[i] = info.init.deviation > 0.0
                           ? (float)(info.init.deviation * rng_normal(key, (uint64_t)i))
                           : (float)info.init.constant;
            }
        }
    }
}
