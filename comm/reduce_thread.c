/* The communication thread. MPI moves messages only while somebody calls it, and during backward
 * the main thread has other work: from the first bucket of a step until reduce_finish this thread
 * polls. The lock is MPI's; whoever calls MPI in that time holds it, collective calls of the main
 * thread too (comm_hold_mpi). Outside that time the thread sleeps and MPI is the main thread's
 * alone. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

enum { POLL_US = 50 };

struct mover {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int started, moved; /* of the buckets in order of publication: sent off; seen complete */
    int code;           /* MPI's, of the poll that failed */
    int64_t told_ns;    /* when a slice of the trace ended last */
    bool quit;
};

void comm_hold_mpi(const comm_t *comm) {
    if (comm->mover != NULL) {
        pthread_mutex_lock(&comm->mover->lock);
    }
}

void comm_release_mpi(const comm_t *comm) {
    if (comm->mover != NULL) {
        pthread_mutex_unlock(&comm->mover->lock);
    }
}

/* The bucket that has just moved: from its first message to the last byte, and the part of that in
 * which this thread saw to it alone. */
static void tell(reduce_t *reduce) {
    reduce_mover_t *mover = reduce->mover;
    int bucket = reduce->order[mover->moved];
    int64_t begin_ns = reduce->published_ns[bucket];
    trace_since(reduce->trace, TRACK_MESSAGES, "reduce", "bucket", bucket, begin_ns, true);
    if (begin_ns >= 0) {
        begin_ns = max_i64(begin_ns, mover->told_ns);
        trace_since(reduce->trace, TRACK_MESSAGES, "move messages", "bucket", bucket, begin_ns,
                    false);
        mover->told_ns = clock_ns();
    }
}

static void *mover_main(void *argument) {
    reduce_t *reduce = argument;
    reduce_mover_t *mover = reduce->mover;
    pthread_mutex_lock(&mover->lock);
    while (!mover->quit) {
        bool done = false;
        if (mover->moved == mover->started || mover->code != MPI_SUCCESS) {
            pthread_cond_wait(&mover->changed, &mover->lock);
            continue;
        }
        mover->code = reduce_messages_test(reduce, reduce->order[mover->moved], &done);
        if (done) {
            tell(reduce);
        }
        mover->moved += done;
        if (!done) {
            pthread_mutex_unlock(&mover->lock);
            clock_sleep_us(POLL_US);
            pthread_mutex_lock(&mover->lock);
        }
    }
    pthread_mutex_unlock(&mover->lock);
    return NULL;
}

/* Signals are the main thread's. */
static int start(reduce_t *reduce) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&reduce->mover->thread, NULL, mover_main, reduce);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

status_t reduce_mover_open(reduce_t *reduce) {
    int level = MPI_THREAD_SINGLE;
    if (reduce->messages == NULL || reduce->comm->host_count == 1) {
        return STATUS_OK; /* on one host a flag is all that moves */
    }
    MPI_Query_thread(&level);
    if (level < MPI_THREAD_SERIALIZED) {
        return STATUS_OK;
    }
    reduce_mover_t *mover = alloc_zero(1, sizeof *mover);
    REQUIRE(pthread_mutex_init(&mover->lock, NULL) == 0 &&
            pthread_cond_init(&mover->changed, NULL) == 0);
    reduce->mover = mover;
    errno = start(reduce);
    if (errno == 0) {
        reduce->comm->mover = mover;
        return STATUS_OK;
    }
    reduce->mover = NULL;
    pthread_cond_destroy(&mover->changed);
    pthread_mutex_destroy(&mover->lock);
    free(mover);
    return status_fail_errno(STATUS_FAILED, "no thread for messages between hosts is to be had; "
                                            "raise ulimit -u");
}

void reduce_mover_close(reduce_t *reduce) {
    reduce_mover_t *mover = reduce->mover;
    if (mover == NULL) {
        return;
    }
    pthread_mutex_lock(&mover->lock);
    mover->quit = true;
    pthread_cond_signal(&mover->changed);
    pthread_mutex_unlock(&mover->lock);
    pthread_join(mover->thread, NULL);
    reduce->comm->mover = NULL;
    pthread_cond_destroy(&mover->changed);
    pthread_mutex_destroy(&mover->lock);
    free(mover);
    reduce->mover = NULL;
}

status_t reduce_mover_start(reduce_t *reduce) {
    reduce_mover_t *mover = reduce->mover;
    int bucket = reduce->order[reduce->published - 1];
    if (mover == NULL) {
        return reduce_messages_start(reduce, bucket);
    }
    pthread_mutex_lock(&mover->lock);
    status_t status = reduce_messages_start(reduce, bucket);
    mover->started += status == STATUS_OK;
    pthread_cond_signal(&mover->changed);
    pthread_mutex_unlock(&mover->lock);
    return status;
}

status_t reduce_mover_stop(reduce_t *reduce, int *moved_out) {
    reduce_mover_t *mover = reduce->mover;
    *moved_out = 0;
    if (mover == NULL) {
        return STATUS_OK;
    }
    pthread_mutex_lock(&mover->lock);
    *moved_out = mover->moved;
    mover->started = mover->moved = 0;
    int code = mover->code;
    mover->code = MPI_SUCCESS;
    pthread_mutex_unlock(&mover->lock);
    return comm_mpi_check(reduce->comm, code, "messages between hosts");
}

int reduce_mover_moved(reduce_t *reduce) {
    reduce_mover_t *mover = reduce->mover;
    if (mover == NULL) {
        return 0;
    }
    pthread_mutex_lock(&mover->lock);
    int moved = mover->moved;
    pthread_mutex_unlock(&mover->lock);
    return moved;
}
