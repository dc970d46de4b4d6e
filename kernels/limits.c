#include "kernels/limits.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/cpu/limits_cpu.h"
#include "kernels/kernels.h"

enum { TURNS = 20000, ROUNDS = 7, FLOATS_MULTIPLE = 128 };
static const double round_s = 0.002; /* of loops that are shorter */
static const double sizes[LIMITS_SIZES] = {24e3, 256e3, 1e6, 4e6, 16e6, 192e6};

typedef enum { WORK_FMA, WORK_BF16, WORK_COPY, WORK_TRIAD, WORK_READ } work_t;

typedef struct task {
    work_t work;
    const limit_loops_t *loops;
    limit_bf16_t *bf16;
    float *memory; /* of one thread; up to three arrays of `count` */
    int64_t count;
} task_t;

static float once(const task_t *task) {
    float *a = task->memory, *b = a + task->count, *c = b + task->count;
    switch (task->work) {
    case WORK_FMA:
        return task->loops->fma(TURNS);
    case WORK_BF16:
        return task->bf16(TURNS);
    case WORK_COPY:
        memcpy(a, b, (size_t)task->count * sizeof *a);
        return a[0];
    case WORK_TRIAD:
        task->loops->triad(a, b, c, task->count);
        return a[0];
    case WORK_READ:
        return task->loops->read(a, task->count);
    }
    return 0.0f;
}

/* Seconds of one call, the best of some rounds; all threads run it at once. */
static double best_s(const task_t *tasks, int threads) {
    double best = HUGE_VAL;
#pragma omp parallel num_threads(threads) reduction(min : best)
    {
        const task_t *task = &tasks[omp_get_thread_num()];
        volatile float sink = once(task);
        double begin_s = clock_s();
        sink = once(task);
        int64_t calls = 1 + (int64_t)(round_s / fmax(clock_s() - begin_s, 1e-9));
        for (int round = 0; round < ROUNDS; round++) {
#pragma omp barrier
            begin_s = clock_s();
            for (int64_t i = 0; i < calls; i++) {
                sink = once(task);
            }
            best = fmin(best, (clock_s() - begin_s) / (double)calls);
        }
        (void)sink;
    }
    return best;
}

static double rate(task_t *tasks, int threads, work_t work, int arrays, double bytes) {
    for (int i = 0; i < threads; i++) {
        tasks[i].work = work;
        tasks[i].count =
            (int64_t)bytes / (arrays * (int64_t)sizeof(float)) / FLOATS_MULTIPLE * FLOATS_MULTIPLE;
    }
    double moved = (double)tasks[0].count * arrays * sizeof(float);
    return threads * moved / best_s(tasks, threads);
}

static const limit_loops_t *loops_of(const char *isa) {
    return strcmp(isa, "avx512") == 0 ? &limit_loops_avx512
           : strcmp(isa, "avx2") == 0 ? &limit_loops_avx2
                                      : &limit_loops_generic;
}

static void arithmetic(task_t *tasks, limits_t *limits) {
    double bf16_flop = 0.0;
    limit_bf16_t *bf16 = limit_bf16(&bf16_flop);
    for (int i = 0; i < limits->threads; i++) {
        tasks[i].loops = loops_of(limits->isa);
        tasks[i].bf16 = bf16;
        tasks[i].work = WORK_FMA;
    }
    double all = (double)limits->threads * TURNS;
    limits->flop_s = all * tasks[0].loops->fma_flop / best_s(tasks, limits->threads);
    if (bf16 != NULL && strcmp(limits->isa, "avx512") == 0) {
        for (int i = 0; i < limits->threads; i++) {
            tasks[i].work = WORK_BF16;
        }
        limits->bf16_flop_s = all * bf16_flop / best_s(tasks, limits->threads);
    }
}

status_t limits_measure(int threads, limits_t *limits_out) {
    limits_t limits = {.threads = threads};
    TRY(kernels_isa(&limits.isa));
    task_t *tasks = alloc_zero(threads, sizeof *tasks);
    arithmetic(tasks, &limits);
    size_t bytes = (size_t)sizes[LIMITS_SIZES - 1];
    for (int i = 0; i < threads; i++) {
        tasks[i].memory = alloc_aligned(bytes);
        memset(tasks[i].memory, 1, bytes); /* own pages, not one page of zeros */
    }
    for (int i = 0; i < LIMITS_SIZES; i++) {
        limits.bytes[i] = threads * sizes[i];
        limits.copy_s[i] = rate(tasks, threads, WORK_COPY, 2, sizes[i]);
        limits.triad_s[i] = rate(tasks, threads, WORK_TRIAD, 3, sizes[i]);
        limits.read_s[i] = rate(tasks, threads, WORK_READ, 1, sizes[i]);
    }
    for (int i = 0; i < threads; i++) {
        free(tasks[i].memory);
    }
    free(tasks);
    *limits_out = limits;
    return STATUS_OK;
}

/* Seconds that a written byte takes on top of the bytes read beside it. */
static double write_s(const limits_t *limits, int i) {
    double read = 1.0 / limits->read_s[i];
    double copy = 2.0 / limits->copy_s[i] - read;
    double triad = 3.0 / limits->triad_s[i] - 2.0 * read;
    return fmax(fmin(copy, triad), 0.0);
}

static double at_size_s(const limits_t *limits, int i, double read_bytes, double written_bytes) {
    return read_bytes / limits->read_s[i] + written_bytes * write_s(limits, i);
}

double limits_memory_s(const limits_t *limits, double read_bytes, double written_bytes) {
    double bytes = read_bytes + written_bytes;
    int i = 0;
    while (i < LIMITS_SIZES && limits->bytes[i] < bytes) {
        i++;
    }
    if (i == 0 || i == LIMITS_SIZES) {
        return at_size_s(limits, i == 0 ? 0 : i - 1, read_bytes, written_bytes);
    }
    double share = log(bytes / limits->bytes[i - 1]) / log(limits->bytes[i] / limits->bytes[i - 1]);
    return (1.0 - share) * at_size_s(limits, i - 1, read_bytes, written_bytes) +
           share * at_size_s(limits, i, read_bytes, written_bytes);
}

double limits_time_s(const limits_t *limits, double flop, double read_bytes, double written_bytes) {
    return fmax(flop / limits->flop_s, limits_memory_s(limits, read_bytes, written_bytes));
}
