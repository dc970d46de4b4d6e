#include "data-sharding/ordered_work.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"

enum { TEXT_BYTES = 2048, AHEAD = 2 }; /* as status.c keeps */

typedef struct slot {
    bool ready;
    status_t status;
    void *made;
    char text[TEXT_BYTES]; /* status_text() is kept per thread */
} slot_t;

/* taken <= begun <= count, begun - taken <= room; item i lies in slot i % room. */
typedef struct pool {
    const ordered_work_t *work;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    int64_t begun, taken, room;
    bool stop;
    slot_t *slots;
} pool_t;

int ordered_work_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (int)max_i64(CPU_COUNT(&set), 1) : 1;
}

static void make_next(pool_t *pool) {
    int64_t item = pool->begun++;
    slot_t *slot = &pool->slots[item % pool->room];
    pthread_mutex_unlock(&pool->lock);
    void *made = NULL;
    status_t status = pool->work->make(pool->work->context, item, &made);
    pthread_mutex_lock(&pool->lock);
    slot->status = status;
    slot->made = made;
    if (status != STATUS_OK) {
        snprintf(slot->text, sizeof slot->text, "%s", status_text());
    }
    slot->ready = true;
    pthread_cond_broadcast(&pool->changed);
}

static void *worker(void *argument) {
    pool_t *pool = argument;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop && pool->begun < pool->work->count) {
        if (pool->begun - pool->taken < pool->room) {
            make_next(pool);
        } else {
            pthread_cond_wait(&pool->changed, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static status_t take_all(pool_t *pool) {
    const ordered_work_t *work = pool->work;
    status_t status = STATUS_OK;
    pthread_mutex_lock(&pool->lock);
    while (pool->taken < work->count && status == STATUS_OK) {
        slot_t *slot = &pool->slots[pool->taken % pool->room];
        while (!slot->ready) {
            pthread_cond_wait(&pool->changed, &pool->lock);
        }
        pthread_mutex_unlock(&pool->lock);
        status = slot->status == STATUS_OK ? work->take(work->context, pool->taken, slot->made)
                                           : status_fail(slot->status, "%s", slot->text);
        pthread_mutex_lock(&pool->lock);
        slot->ready = false;
        pool->taken++;
        pthread_cond_broadcast(&pool->changed);
    }
    pool->stop = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

/* Signals are the main thread's. Fewer threads than asked for do as well. */
static int start(pool_t *pool, pthread_t *threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int count = 0;
    while (count < pool->work->threads &&
           pthread_create(&threads[count], NULL, worker, pool) == 0) {
        count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count;
}

static status_t run_alone(const ordered_work_t *work) {
    for (int64_t item = work->begin; item < work->count; item++) {
        void *made = NULL;
        TRY(work->make(work->context, item, &made));
        TRY(work->take(work->context, item, made));
    }
    return STATUS_OK;
}

status_t ordered_work_run(const ordered_work_t *work) {
    pool_t pool = {.work = work,
                   .begun = work->begin,
                   .taken = work->begin,
                   .room = AHEAD * (int64_t)work->threads};
    pthread_t *threads = alloc_zero(work->threads, sizeof *threads);
    pool.slots = alloc_zero(pool.room, sizeof *pool.slots);
    REQUIRE(pthread_mutex_init(&pool.lock, NULL) == 0 &&
            pthread_cond_init(&pool.changed, NULL) == 0);
    int count = work->threads > 1 ? start(&pool, threads) : 0;
    status_t status = count > 0 ? take_all(&pool) : run_alone(work);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int64_t i = 0; i < pool.room; i++) {
        if (pool.slots[i].ready && pool.slots[i].status == STATUS_OK) {
            work->drop(work->context, pool.slots[i].made);
        }
    }
    pthread_cond_destroy(&pool.changed);
    pthread_mutex_destroy(&pool.lock);
    free(pool.slots);
    free(threads);
    return status;
}
