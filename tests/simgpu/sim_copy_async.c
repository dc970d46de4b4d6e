/* cp.async (__pipeline_memcpy_async): each thread's copies are kept until it waits for their batch,
 * and only then made; in between their destination is garbage. */
#include <stdlib.h>
#include <string.h>

#include "simgpu.h"

enum { MAX_THREADS = 1024 };

typedef struct copy {
    void *to;
    const void *from;
    size_t n, zero_bytes;
    unsigned batch;
} copy_t;

typedef struct queue { /* of one thread */
    copy_t *copies;
    size_t begin, count, capacity;
    unsigned batch; /* that the next copy belongs to */
} queue_t;

static queue_t queues[MAX_THREADS];

void sim_copies_reset(int threads) {
    for (int t = 0; t < threads; t++) {
        queues[t].begin = queues[t].count = 0;
        queues[t].batch = 0;
    }
}

bool sim_copies_pending(int thread) { return queues[thread].begin < queues[thread].count; }

void sim_copy_async(void *shared, const void *global, size_t n, size_t zero_bytes, const void *pc) {
    queue_t *queue = &queues[sim_now.thread];
    if ((n != 4 && n != 8 && n != 16) || (uintptr_t)shared % n != 0 || (uintptr_t)global % n != 0 ||
        zero_bytes > n) {
        sim_report(pc, "asynchronous copy of %zu bytes: it takes 4, 8 or 16, aligned to as many",
                   n);
    }
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity > 0 ? 2 * queue->capacity : 16;
        queue->copies = realloc(queue->copies, queue->capacity * sizeof(copy_t));
        if (queue->copies == NULL) {
            sim_report(pc, "no memory for asynchronous copies");
        }
    }
    if (zero_bytes < n) {
        sim_access(global, n - zero_bytes, SIM_READ, pc);
    }
    sim_shadow_pending(shared, n, pc);
    sim_poison(shared, n);
    queue->copies[queue->count++] = (copy_t){shared, global, n, zero_bytes, queue->batch};
}

void sim_copy_commit(void) { queues[sim_now.thread].batch++; }

void sim_copy_wait(unsigned prior, const void *pc) {
    queue_t *queue = &queues[sim_now.thread];
    while (queue->begin < queue->count) {
        const copy_t *copy = &queue->copies[queue->begin];
        if (copy->batch + prior >= queue->batch) { /* of the last ones, or never committed */
            return;
        }
        size_t read_bytes = copy->n - copy->zero_bytes;
        if (read_bytes > 0) { /* it may be read as late as now */
            sim_access(copy->from, read_bytes, SIM_READ, pc);
        }
        sim_access(copy->to, copy->n, SIM_WRITE, pc);
        memcpy(copy->to, copy->from, read_bytes);
        memset((char *)copy->to + read_bytes, 0, copy->zero_bytes);
        queue->begin++;
    }
    queue->begin = queue->count = 0;
}
