/* Memory that the ranks of one host see of each other: each makes one segment, all map all. The
 * names are gone before the first use, so a killed job leaves nothing in /dev/shm. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "comm/internal.h"
#include "kernels/base/bytes.h"

enum {
    SMALL_BYTES = 4096,
    HUGE_BYTES = 2 << 20,
    HUGE_FROM_BYTES = 2 * HUGE_BYTES, /* asking takes a millisecond */
    COLLAPSE = 25,                    /* MADV_COLLAPSE, which older headers lack */
};

typedef struct segment {
    char name[64]; /* "" if it could not be made */
    uint64_t bytes;
} segment_t;

typedef struct need { /* of this rank, and of all of this host */
    size_t mine, host;
    const char *purpose;
} need_t;

static status_t too_small(const comm_t *comm, const need_t *need) {
    struct statvfs shm = {0};
    statvfs("/dev/shm", &shm);
    double mb = 1e-6, left = mb * (double)shm.f_bavail * (double)shm.f_frsize;
    return status_fail(STATUS_UNAVAILABLE,
                       "/dev/shm is too small: %s needs %zu bytes (%.0f MB) of shared memory for "
                       "the %d ranks on this host, %.0f MB of them for this rank, for which only "
                       "%.0f MB are free there; enlarge /dev/shm (docker: --shm-size) or start "
                       "fewer ranks on this host",
                       need->purpose, need->host, mb * (double)need->host, comm->local_count,
                       mb * (double)need->mine, left);
}

/* At an address where huge pages can lie. */
static void *map_segment(int file, size_t bytes) {
    size_t spare = bytes + HUGE_BYTES;
    char *reserved = mmap(NULL, spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (reserved == MAP_FAILED) {
        return MAP_FAILED;
    }
    size_t head = -(uintptr_t)reserved % HUGE_BYTES;
    void *memory =
        mmap(reserved + head, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    int error = errno;
    if (memory == MAP_FAILED) {
        munmap(reserved, spare);
    } else {
        size_t end = (head + bytes + SMALL_BYTES - 1) / SMALL_BYTES * SMALL_BYTES;
        munmap(reserved, head);
        munmap(reserved + end, spare - end);
    }
    errno = error;
    return memory;
}

static int take(int file, size_t begin, size_t bytes) {
    int error;
    do {
        error = posix_fallocate(file, (off_t)begin, (off_t)bytes);
    } while (error == EINTR);
    return error;
}

/* Asks for huge pages, which a third of the time of every pass over the windows depends on: a page
 * of each, then the rest of it at once. Kernels that know no MADV_COLLAPSE give small pages. */
static void take_huge(int file, void *memory, size_t bytes) {
    size_t whole = bytes / HUGE_BYTES * HUGE_BYTES;
    if (whole < HUGE_FROM_BYTES || ftruncate(file, (off_t)bytes) != 0) {
        return;
    }
    for (size_t at = 0; at < whole; at += HUGE_BYTES) {
        if (take(file, at, SMALL_BYTES) != 0) {
            return;
        }
    }
    (void)madvise(memory, whole, COLLAPSE);
}

/* posix_fallocate takes the memory now: with ftruncate alone a full /dev/shm is a SIGBUS later. */
static status_t segment_make(comm_t *comm, const need_t *need, segment_t *segment, void **base) {
    struct statvfs shm; /* asked first: filling what there is takes a minute on a big machine */
    if (statvfs("/dev/shm", &shm) == 0 && segment->bytes > shm.f_bavail * shm.f_frsize) {
        return too_small(comm, need);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(segment->name, sizeof segment->name, "/jmt-%ld-%d-%llx", (long)getpid(), comm->rank,
             (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
    int file = shm_open(segment->name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0) {
        segment->name[0] = '\0';
        return status_fail_errno(STATUS_UNAVAILABLE, "cannot make shared memory in /dev/shm");
    }
    void *memory = map_segment(file, segment->bytes);
    int error = memory == MAP_FAILED ? errno : 0;
    if (error == 0) {
        take_huge(file, memory, segment->bytes);
        error = take(file, 0, segment->bytes);
    }
    close(file);
    if (error != 0) {
        if (memory != MAP_FAILED) {
            munmap(memory, segment->bytes);
        }
        shm_unlink(segment->name);
        segment->name[0] = '\0';
        return too_small(comm, need);
    }
    *base = memory;
    return STATUS_OK;
}

static status_t segment_attach(const segment_t *segment, int rank, void **base) {
    int file = shm_open(segment->name, O_RDWR, 0);
    if (file < 0) {
        return status_fail_errno(STATUS_UNAVAILABLE,
                                 "cannot open the shared memory of rank %d on this host", rank);
    }
    void *memory = map_segment(file, segment->bytes);
    int error = errno;
    close(file);
    if (memory == MAP_FAILED) {
        errno = error;
        return status_fail_errno(STATUS_UNAVAILABLE,
                                 "cannot map the shared memory of rank %d on this host", rank);
    }
    *base = memory;
    return STATUS_OK;
}

static status_t attach_all(const comm_t *comm, const segment_t *all, shared_t *shared) {
    for (int i = 0; i < comm->local_count; i++) {
        const segment_t *segment = &all[comm->local_ranks[i]];
        shared->bytes[i] = segment->bytes;
        if (shared->base[i] == NULL && segment->name[0] != '\0') {
            TRY(segment_attach(segment, comm->local_ranks[i], &shared->base[i]));
        }
    }
    return STATUS_OK;
}

static status_t need_of(comm_t *comm, size_t bytes, const char *purpose, need_t *need_out) {
    need_t need = {.mine = bytes, .purpose = purpose};
    size_t *all = alloc_zero(comm->size, sizeof *all);
    status_t status = comm_all_gather(comm, &bytes, sizeof bytes, all, "add up shared memory");
    for (int i = 0; i < comm->local_count; i++) {
        need.host += all[comm->local_ranks[i]];
    }
    free(all);
    *need_out = need;
    return status;
}

status_t comm_shared_open(comm_t *comm, size_t bytes, const char *purpose, shared_t *shared_out) {
    need_t need;
    TRY(need_of(comm, bytes, purpose, &need));
    shared_t shared = {comm->local_count, alloc_zero(comm->local_count, sizeof *shared.base),
                       alloc_zero(comm->local_count, sizeof *shared.bytes)};
    segment_t *all = alloc_zero(comm->size, sizeof *all);
    segment_t mine = {.bytes = bytes};
    void **mine_base = &shared.base[comm->local_index];
    status_t made = segment_make(comm, &need, &mine, mine_base);
    shared.bytes[comm->local_index] = bytes;
    status_t status = comm_all_gather(comm, &mine, sizeof mine, all, "exchange shared memory");
    if (status == STATUS_OK) {
        status = made != STATUS_OK ? made : attach_all(comm, all, &shared);
        status = comm_agree(comm, status, "open shared memory");
    }
    if (mine.name[0] != '\0') {
        shm_unlink(mine.name);
    }
    free(all);
    if (status != STATUS_OK) {
        comm_shared_close(&shared);
        return status;
    }
    *shared_out = shared;
    return STATUS_OK;
}

void comm_shared_close(shared_t *shared) {
    for (int i = 0; i < shared->count; i++) {
        if (shared->base[i] != NULL) {
            munmap(shared->base[i], shared->bytes[i]);
        }
    }
    free(shared->base);
    free(shared->bytes);
    *shared = (shared_t){0};
}
