/* The end of the tree on the own slices: the same additions for every rank count, chunk by chunk so
 * that what lies between them stays in cache. */
#include <stdlib.h>

#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"

/* Several additions go through a chunk in pieces of a few cache lines: all parts are then read side
 * by side, as fast as memory gives them, rather than one after the other at half of that. */
enum { PIECE_ELEMENTS = 64 };

void reduce_plan_folds(reduce_t *reduce) {
    int count = reduce->source_count;
    tree_node_t *parts = alloc_zero(count, sizeof *parts);
    for (int i = 0, rank = 0; rank < reduce->comm->size; rank++) {
        tree_node_t leaves[TREE_NODES_MAX];
        int rank_parts = reduce_cover(&reduce->layout, rank, reduce->comm->size, leaves);
        for (int part = 0; part < rank_parts; part++) {
            parts[i++] = leaves[part];
        }
    }
    reduce->plan = fold_plan_sum(reduce->layout.shards, parts, count);
    reduce->scratch =
        alloc_aligned((size_t)reduce->plan.pieces * PIECE_ELEMENTS * sizeof *reduce->scratch);
    free(parts);
}

typedef struct place {
    const reduce_t *reduce;
    int64_t offset, remote_offset;
    float *result;
} place_t;

static const float *read_at(const place_t *place, int operand) {
    if (operand < 0) {
        return place->reduce->scratch + (int64_t)fold_piece_of(operand) * PIECE_ELEMENTS;
    }
    const source_t *source = &place->reduce->sources[operand];
    return source->base + (source->remote ? place->remote_offset : place->offset);
}

static float *write_at(const place_t *place, int operand) {
    return operand == FOLD_RESULT
               ? place->result
               : place->reduce->scratch + (int64_t)fold_piece_of(operand) * PIECE_ELEMENTS;
}

static void fold_piece(const place_t *place, int64_t count) {
    const reduce_t *reduce = place->reduce;
    for (int k = 0; k < reduce->plan.count; k++) {
        const fold_t *fold = &reduce->plan.folds[k];
        reduce->add(reduce->device, write_at(place, fold->out), read_at(place, fold->a),
                    read_at(place, fold->b), count);
    }
}

/* The result goes to the own part 0, which may be a source: only the last addition writes it, and
 * no other rank reads this rank's own slice. */
void reduce_fold(reduce_t *reduce, int bucket) {
    bucket_t slice = reduce_slice(reduce, bucket, reduce->comm->rank);
    int64_t begin = reduce_range(&reduce->layout, slice).begin;
    int64_t piece = reduce->plan.count > 1 ? PIECE_ELEMENTS : CHUNK_ELEMENTS;
    for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
        const chunk_t *chunk = &reduce->layout.chunks[c];
        for (int64_t at = 0; at < chunk->count; at += piece) {
            int64_t offset = chunk->offset + at;
            place_t place = {reduce, offset, reduce->slice_at[bucket] + offset - begin,
                             reduce_part(reduce, 0) + offset};
            fold_piece(&place, min_i64(piece, chunk->count - at));
        }
    }
}

void reduce_fold_local(reduce_t *reduce, int bucket) {
    bucket_t chunks = reduce->layout.buckets[bucket];
    for (int64_t c = chunks.chunk_begin; c < chunks.chunk_end; c++) {
        const chunk_t *chunk = &reduce->layout.chunks[c];
        float *into = reduce_part(reduce, 0) + chunk->offset;
        for (int part = 1; part < reduce->part_count; part++) {
            reduce->add(reduce->device, into, into, reduce_part(reduce, part) + chunk->offset,
                        chunk->count);
        }
    }
}
