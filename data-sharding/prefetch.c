#include "data-sharding/prefetch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { TEXT_BYTES = 2048 }; /* as status.c keeps */

typedef struct outcome {
    status_t status;
    char text[TEXT_BYTES]; /* status_text() is kept per thread */
} outcome_t;

/* given <= made <= count, made - given <= places; item i lies in place i % room. */
struct prefetch {
    int places, room; /* room: at least 1 */
    prefetch_fill_t fill;
    void *context;
    bool taken; /* item `given` is the caller's */
    pthread_t reader;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    int64_t given, made, count; /* items */
    bool filling, quit;
    outcome_t *outcomes; /* [room]; one that failed is the last */
};

/* --- the reader ------------------------------------------------------------------------------ */

static bool has_work(const prefetch_t *p) {
    return p->made < p->count && p->made - p->given < p->places;
}

/* With the lock held, which is open while fill runs. */
static void make_one(prefetch_t *p) {
    int64_t item = p->made;
    outcome_t *outcome = &p->outcomes[item % p->room];
    p->filling = true;
    pthread_mutex_unlock(&p->lock);
    status_t status = p->fill(p->context, (int)(item % p->room), item);
    pthread_mutex_lock(&p->lock);
    p->filling = false;
    p->made++;
    outcome->status = status;
    if (status != STATUS_OK) {
        snprintf(outcome->text, sizeof outcome->text, "%s", status_text());
        p->count = p->made;
    }
    pthread_cond_broadcast(&p->changed);
}

static void *reader_main(void *argument) {
    prefetch_t *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->quit) {
        if (has_work(p)) {
            make_one(p);
        } else {
            pthread_cond_wait(&p->changed, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals are the main thread's. */
static status_t start_reader(prefetch_t *p) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&p->reader, NULL, reader_main, p);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return error == 0
               ? STATUS_OK
               : status_fail_errno(STATUS_FAILED, "no thread for reading ahead is to be had; set "
                                                  "data.prefetch to 0, or raise ulimit -u");
}

/* --- the caller ------------------------------------------------------------------------------ */

static void release(prefetch_t *p) {
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p->outcomes);
    free(p);
}

status_t prefetch_open(int places, prefetch_fill_t fill, void *context, prefetch_t **prefetch_out) {
    REQUIRE(places >= 0);
    prefetch_t *p = alloc_zero(1, sizeof *p);
    p->places = places;
    p->room = places > 0 ? places : 1;
    p->fill = fill;
    p->context = context;
    p->outcomes = alloc_zero(p->room, sizeof *p->outcomes);
    REQUIRE(pthread_mutex_init(&p->lock, NULL) == 0 && pthread_cond_init(&p->changed, NULL) == 0);
    status_t status = places > 0 ? start_reader(p) : STATUS_OK;
    if (status != STATUS_OK) {
        release(p);
        return status;
    }
    *prefetch_out = p;
    return STATUS_OK;
}

void prefetch_close(prefetch_t *p) {
    if (p == NULL) {
        return;
    }
    if (p->places > 0) {
        pthread_mutex_lock(&p->lock);
        p->quit = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->reader, NULL);
    }
    release(p);
}

void prefetch_start(prefetch_t *p, int64_t count) {
    pthread_mutex_lock(&p->lock);
    REQUIRE(!p->taken && p->given == p->made && p->made == p->count);
    p->given = p->made = 0;
    p->count = count;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

status_t prefetch_next(prefetch_t *p, int *place_out) {
    pthread_mutex_lock(&p->lock);
    REQUIRE(!p->taken && p->given < p->count);
    if (p->places == 0 && p->made == p->given) {
        make_one(p);
    }
    while (p->made == p->given) {
        pthread_cond_wait(&p->changed, &p->lock);
    }
    int place = (int)(p->given % p->room);
    pthread_mutex_unlock(&p->lock);
    const outcome_t *outcome = &p->outcomes[place]; /* the reader's again when it is given back */
    if (outcome->status != STATUS_OK) {
        return status_fail(outcome->status, "%s", outcome->text);
    }
    p->taken = true;
    *place_out = place;
    return STATUS_OK;
}

bool prefetch_ready(prefetch_t *p, int *place_out) {
    pthread_mutex_lock(&p->lock);
    int64_t item = p->given + p->taken;
    int place = (int)(item % p->room);
    bool ready = item < p->made && p->outcomes[place].status == STATUS_OK;
    pthread_mutex_unlock(&p->lock);
    if (ready) {
        *place_out = place;
    }
    return ready;
}

void prefetch_give_back(prefetch_t *p) {
    REQUIRE(p->taken);
    p->taken = false;
    pthread_mutex_lock(&p->lock);
    p->given++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void prefetch_stop(prefetch_t *p) {
    pthread_mutex_lock(&p->lock);
    p->count = p->made; /* nothing new begins */
    while (p->filling) {
        pthread_cond_wait(&p->changed, &p->lock);
    }
    p->given = p->made = p->count = 0;
    p->taken = false;
    pthread_mutex_unlock(&p->lock);
}
