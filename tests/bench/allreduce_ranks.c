/* allreduce_ranks BUFFERS ROUNDS - under mpirun: every rank gets the sum of all ranks' 16 MB, by
 * the reduction, by MPI in place, and by a plain sum in shared memory. Rank 0 prints one JSON
 * object of milliseconds by round. See tests/bench/allreduce. */
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "comm/reduce.h"
#include "kernels/base/bytes.h"
#include "kernels/kernels.h"

enum {
    ELEMENTS = 4 << 20,
    CHUNKS = ELEMENTS / CHUNK_ELEMENTS,
    BUCKETS = 4,
    BUFFERS_MAX = 8,
    RANKS_MAX = 16,
    TIMES = 8, /* all-reduces in one round */
    SHARDS_PLAIN = 2,
    SHARDS_SPLIT = 24, /* 0-11 | 12-23: two subtrees each */
    STEP_LEAVES = 4,   /* shards of a rank in a whole step */
};

static const size_t BYTES = ELEMENTS * sizeof(float);

typedef struct bench {
    comm_t *comm;
    const kernels_t *kernels;
    const device_t *device;
    int rank, ranks, buffers;
    chunk_t chunks[CHUNKS];
    bucket_t bucket_list[BUCKETS];
    float *mpi[BUFFERS_MAX], *small_pages[BUFFERS_MAX];
    MPI_Win windows[BUFFERS_MAX];
    float *shared[BUFFERS_MAX][RANKS_MAX];
    reduce_t *one_part[BUFFERS_MAX], *two_parts[BUFFERS_MAX], *window[BUFFERS_MAX];
    float *leaf, *momentum;
} bench_t;

static void require(status_t status) {
    if (status != STATUS_OK) {
        fprintf(stderr, "jmt: error: allreduce_ranks: %s\n", status_text());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static reduce_t *open_reduce(bench_t *b, int shards) {
    reduce_layout_t layout = {ELEMENTS, b->chunks, CHUNKS, b->bucket_list, BUCKETS, shards};
    reduce_t *reduce = NULL;
    require(reduce_open(b->comm, &layout, false, b->device, b->kernels->add, &reduce));
    if (reduce_writes_weights(reduce)) {
        memset(reduce_weights(reduce), 0, BYTES);
    }
    require(comm_barrier(b->comm, "open"));
    return reduce;
}

static void open_shared(bench_t *b, int buffer) {
    MPI_Info info;
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true"); /* page-aligned, on the owner's node */
    float *mine;
    MPI_Win_allocate_shared((MPI_Aint)BYTES, sizeof(float), info, MPI_COMM_WORLD, &mine,
                            &b->windows[buffer]);
    MPI_Info_free(&info);
    for (int r = 0; r < b->ranks; r++) {
        MPI_Aint bytes;
        int unit;
        MPI_Win_shared_query(b->windows[buffer], r, &bytes, &unit, &b->shared[buffer][r]);
    }
}

/* In huge pages where the system has them, as the reduction's windows are, or not. */
static float *open_private(int pages) {
    size_t huge = 2 << 20;
    float *memory = aligned_alloc(huge, BYTES);
    madvise(memory, BYTES, pages);
    memset(memory, 0, BYTES);
    return memory;
}

/* Whole numbers, so that every order of addition has the same bits. */
static void fill(float *out, int salt) {
    for (int64_t i = 0; i < ELEMENTS; i++) {
        out[i] = (float)((i * 7 + salt * 131) % 1009 - 504);
    }
}

static void open_bench(bench_t *b, int buffers) {
    b->buffers = buffers;
    for (int c = 0; c < CHUNKS; c++) {
        b->chunks[c] = (chunk_t){(int64_t)c * CHUNK_ELEMENTS, CHUNK_ELEMENTS, 0};
    }
    for (int k = 0; k < BUCKETS; k++) {
        b->bucket_list[k] = (bucket_t){k * CHUNKS / BUCKETS, (k + 1) * CHUNKS / BUCKETS};
    }
    for (int i = 0; i < buffers; i++) {
        b->mpi[i] = open_private(MADV_HUGEPAGE);
        b->small_pages[i] = open_private(MADV_NOHUGEPAGE);
        b->window[i] = open_reduce(b, SHARDS_PLAIN);
        open_shared(b, i);
        b->one_part[i] = open_reduce(b, SHARDS_PLAIN);
        b->two_parts[i] = open_reduce(b, SHARDS_SPLIT);
        for (int part = 0; part < reduce_part_count(b->two_parts[i]); part++) {
            fill(reduce_part(b->two_parts[i], part), b->rank + part);
        }
    }
    b->leaf = alloc_aligned(BYTES);
    b->momentum = alloc_aligned(BYTES);
    fill(b->leaf, 1);
    memset(b->momentum, 0, BYTES);
}

static void by_mpi(bench_t *b, int i) {
    MPI_Allreduce(MPI_IN_PLACE, b->mpi[i], ELEMENTS, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void by_mpi_in_small_pages(bench_t *b, int i) {
    MPI_Allreduce(MPI_IN_PLACE, b->small_pages[i], ELEMENTS, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void by_mpi_in_window(bench_t *b, int i) {
    MPI_Allreduce(MPI_IN_PLACE, b->shared[i][b->rank], ELEMENTS, MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
}

static void by_mpi_in_our_window(bench_t *b, int i) {
    MPI_Allreduce(MPI_IN_PLACE, reduce_part(b->window[i], 0), ELEMENTS, MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
}

/* What shared memory can do with no tree, no owner and no weights: each rank adds its slice in the
 * order of the ranks and writes it to all. */
static void by_hand(bench_t *b, int i) {
    float *const *all = b->shared[i];
    int64_t begin = share_begin(ELEMENTS, b->ranks, b->rank);
    int64_t end = share_begin(ELEMENTS, b->ranks, b->rank + 1);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int64_t at = begin; at < end; at += CHUNK_ELEMENTS) {
        int64_t count = min_i64(CHUNK_ELEMENTS, end - at);
        for (int r = 1; r < b->ranks; r++) {
            b->kernels->add(b->device, all[0] + at, all[0] + at, all[r] + at, count);
        }
        for (int r = 1; r < b->ranks; r++) {
            memcpy(all[r] + at, all[0] + at, (size_t)count * sizeof(float));
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* The owner's "update" makes its weights the sum, so that after sharing everybody has it. */
static void update_by_copy(bench_t *b, reduce_t *reduce) {
    for (int k = 0; k < BUCKETS; k++) {
        bucket_t own = reduce_slice(reduce, k, b->rank);
        int64_t at = b->chunks[own.chunk_begin].offset;
        memcpy(reduce_weights(reduce) + at, reduce_gradient(reduce) + at,
               (size_t)(own.chunk_end - own.chunk_begin) * CHUNK_ELEMENTS * sizeof(float));
    }
}

static void update_by_sgd(bench_t *b, reduce_t *reduce) {
    for (int k = 0; k < BUCKETS; k++) {
        bucket_t own = reduce_slice(reduce, k, b->rank);
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            int64_t at = b->chunks[c].offset;
            b->kernels->optimizer_update(&(optimizer_call_t){
                .kind = OPTIMIZER_SGD,
                .learning_rate = 1e-4,
                .momentum = 0.9,
                .nesterov = true,
                .update_index = 2,
                .gradient_scale = 1.0,
                .weight = reduce_weights(reduce),
                .gradient = reduce_gradient(reduce),
                .m = b->momentum,
                .spans = &(optimizer_span_t){.offset = at, .state = at, .count = CHUNK_ELEMENTS},
                .span_count = 1,
            });
        }
    }
}

static void reduce_once(bench_t *b, reduce_t *reduce, void (*update)(bench_t *, reduce_t *)) {
    for (int k = 0; k < BUCKETS; k++) {
        require(reduce_publish(reduce, k));
    }
    require(reduce_finish(reduce));
    update(b, reduce);
    require(reduce_share(reduce));
}

static void no_update(bench_t *b, reduce_t *reduce) {
    (void)b;
    (void)reduce;
}

static void by_reduce(bench_t *b, int i) { reduce_once(b, b->one_part[i], no_update); }
static void by_tree(bench_t *b, int i) { reduce_once(b, b->two_parts[i], no_update); }
static void by_reduce_and_copy(bench_t *b, int i) {
    reduce_once(b, b->one_part[i], update_by_copy);
}

/* A step's share of memory traffic: fold the local shards, reduce, update the own slice, share. */
static void by_whole(bench_t *b, int i) {
    float *part = reduce_part(b->one_part[i], 0);
    for (int leaf = 1; leaf < STEP_LEAVES; leaf++) {
        for (int c = 0; c < CHUNKS; c++) {
            int64_t at = b->chunks[c].offset;
            b->kernels->add(b->device, part + at, part + at, b->leaf + at, CHUNK_ELEMENTS);
        }
    }
    reduce_once(b, b->one_part[i], update_by_sgd);
}

static void by_memcpy(bench_t *b, int i) { memcpy(b->mpi[i], b->leaf, BYTES); }

typedef struct variant {
    const char *name;
    void (*run)(bench_t *b, int buffer);
} variant_t;
static const variant_t variants[] = {
    {"memcpy", by_memcpy},
    {"mpi", by_mpi},
    {"mpi_in_small_pages", by_mpi_in_small_pages},
    {"mpi_in_window", by_mpi_in_window},
    {"mpi_in_our_window", by_mpi_in_our_window},
    {"by_hand", by_hand},
    {"reduce", by_reduce},
    {"two_parts", by_tree},
    {"reduce_and_copy", by_reduce_and_copy},
    {"whole", by_whole},
};
enum { VARIANTS = ARRAY_LEN(variants), ROUNDS_MAX = 1000 };

static double time_ms(bench_t *b, const variant_t *variant) {
    MPI_Barrier(MPI_COMM_WORLD);
    double begin_s = MPI_Wtime();
    for (int k = 0; k < TIMES; k++) {
        variant->run(b, k % b->buffers);
    }
    double mine_s = MPI_Wtime() - begin_s, slowest_s;
    MPI_Allreduce(&mine_s, &slowest_s, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return 1e3 * slowest_s / TIMES;
}

static int differing(const float *a, const float *b) { return memcmp(a, b, BYTES) != 0; }

/* Counts the results that differ from MPI's, over all ranks. */
static int check(bench_t *b) {
    int wrong = 0, all;
    float *terms = b->momentum;
    for (int i = 0; i < b->buffers; i++) {
        fill(b->mpi[i], b->rank);
        fill(b->shared[i][b->rank], b->rank);
        fill(reduce_part(b->one_part[i], 0), b->rank);
        by_mpi(b, i);
        by_hand(b, i);
        by_reduce_and_copy(b, i);
        wrong += differing(b->shared[i][b->rank], b->mpi[i]);
        wrong += differing(reduce_weights(b->one_part[i]), b->mpi[i]);
        memset(terms, 0, BYTES);
        for (int part = 0; part < reduce_part_count(b->two_parts[i]); part++) {
            b->kernels->add(b->device, terms, terms, reduce_part(b->two_parts[i], part), ELEMENTS);
        }
        MPI_Allreduce(MPI_IN_PLACE, terms, ELEMENTS, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        reduce_once(b, b->two_parts[i], update_by_copy);
        wrong += differing(reduce_weights(b->two_parts[i]), terms);
    }
    MPI_Allreduce(&wrong, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

static void print_times(double ms[VARIANTS][ROUNDS_MAX], int rounds) {
    printf("\"ms\":{");
    for (int v = 0; v < VARIANTS; v++) {
        printf("%s\"%s\":[", v > 0 ? "," : "", variants[v].name);
        for (int round = 0; round < rounds; round++) {
            printf("%s%.4f", round > 0 ? "," : "", ms[v][round]);
        }
        printf("]");
    }
    printf("}");
}

int main(int argc, char **argv) {
    static bench_t b;
    static double ms[VARIANTS][ROUNDS_MAX];
    int buffers = argc == 3 ? (int)strtol(argv[1], NULL, 10) : 0;
    int rounds = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    require(comm_open(&(comm_config_t){.timeout_s = 60.0}, &b.comm));
    b.rank = comm_rank(b.comm);
    b.ranks = comm_size(b.comm);
    if (buffers < 1 || buffers > BUFFERS_MAX || rounds < 1 || rounds > ROUNDS_MAX || b.ranks < 2 ||
        b.ranks > RANKS_MAX) {
        require(status_fail(STATUS_INPUT, "mpirun -n RANKS allreduce_ranks BUFFERS ROUNDS"));
    }
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(b.rank, &core);
    sched_setaffinity(0, sizeof core, &core);
    require(kernels_for("cpu", DTYPE_F32, &b.kernels));
    require(device_open("cpu", 0, 1, &b.device));
    open_bench(&b, buffers);
    int wrong = check(&b);
    for (int round = 0; round < rounds && wrong == 0; round++) {
        for (int v = 0; v < VARIANTS; v++) {
            ms[v][round] = time_ms(&b, &variants[v]);
        }
    }
    if (b.rank == 0) {
        int length;
        char version[MPI_MAX_LIBRARY_VERSION_STRING];
        MPI_Get_library_version(version, &length);
        version[strcspn(version, ",")] = '\0';
        printf("{\"mpi\":\"%s\",\"bytes\":%zu,\"buffers\":%d,\"wrong\":%d,", version, BYTES,
               buffers, wrong);
        print_times(ms, wrong == 0 ? rounds : 0);
        printf("}\n");
    }
    for (int i = 0; i < buffers; i++) {
        reduce_close(b.one_part[i]);
        reduce_close(b.two_parts[i]);
        reduce_close(b.window[i]);
        MPI_Win_free(&b.windows[i]);
        free(b.mpi[i]);
        free(b.small_pages[i]);
    }
    free(b.leaf);
    free(b.momentum);
    comm_close(b.comm);
    return wrong == 0 ? 0 : 1;
}
