/* The group over MPI. Messages between pairs only, so that a missing one says whose it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

/* MPI counts are int; larger pieces go in rounds. */
static const size_t ROUND_BYTES = (size_t)1 << 30;

status_t comm_mpi_check(comm_t *comm, int code, const char *operation) {
    if (code == MPI_SUCCESS) {
        return STATUS_OK;
    }
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    comm->broken = STATUS_FAILED;
    comm->worst = comm->worst == STATUS_OK ? STATUS_FAILED : comm->worst;
    return status_fail(STATUS_FAILED, "%s: MPI: %.*s; is another rank or host gone?", operation,
                       length, text);
}

typedef struct messages {
    comm_t *comm;
    const char *operation;
} messages_t;

static status_t messages_poll(void *context, bool *done_out) {
    messages_t *messages = context;
    comm_t *comm = messages->comm;
    int done = 0;
    comm_hold_mpi(comm);
    int code = MPI_Testall(2 * comm->size, comm->requests, &done, MPI_STATUSES_IGNORE);
    comm_release_mpi(comm);
    *done_out = done != 0;
    return comm_mpi_check(comm, code, messages->operation);
}

static bool messages_missing(void *context, int rank) {
    comm_t *comm = ((messages_t *)context)->comm;
    int received = 1, sent = 1;
    comm_hold_mpi(comm);
    MPI_Request_get_status(comm->requests[rank], &received, MPI_STATUS_IGNORE);
    MPI_Request_get_status(comm->requests[comm->size + rank], &sent, MPI_STATUS_IGNORE);
    comm_release_mpi(comm);
    return !received || !sent;
}

static status_t messages_wait(comm_t *comm, const char *operation) {
    messages_t messages = {comm, operation};
    waiting_t waiting = {operation, messages_poll, messages_missing, &messages};
    return comm_wait(comm, &waiting);
}

static void requests_clear(comm_t *comm) {
    for (int i = 0; i < 2 * comm->size; i++) {
        comm->requests[i] = MPI_REQUEST_NULL;
    }
}

static int round_bytes(size_t length, size_t from) {
    return length <= from ? 0 : (int)(length - from < ROUND_BYTES ? length - from : ROUND_BYTES);
}

static status_t post_receive(comm_t *comm, void *to, int bytes, int rank, const char *operation) {
    comm_hold_mpi(comm);
    int code = MPI_Irecv(to, bytes, MPI_BYTE, rank, TAG_GROUP, comm->mpi, &comm->requests[rank]);
    comm_release_mpi(comm);
    return comm_mpi_check(comm, code, operation);
}

static status_t post_send(comm_t *comm, const void *from, int bytes, int rank,
                          const char *operation) {
    comm_hold_mpi(comm);
    int code = MPI_Isend(from, bytes, MPI_BYTE, rank, TAG_GROUP, comm->mpi,
                         &comm->requests[comm->size + rank]);
    comm_release_mpi(comm);
    return comm_mpi_check(comm, code, operation);
}

/* One round, from byte `from` of every piece. Every pair exchanges a message even if it is empty: a
 * gather is also a barrier. */
static status_t gather_round(comm_t *comm, const char *mine, char *all, const size_t *lengths,
                             const size_t *offsets, size_t from, const char *operation) {
    requests_clear(comm);
    for (int step = 1; step < comm->size; step++) {
        int rank = (comm->rank + comm->size - step) % comm->size;
        int bytes = round_bytes(lengths[rank], from);
        TRY(post_receive(comm, all + offsets[rank] + (bytes > 0 ? from : 0), bytes, rank,
                         operation));
    }
    int bytes = round_bytes(lengths[comm->rank], from);
    for (int step = 1; step < comm->size; step++) {
        TRY(post_send(comm, mine + (bytes > 0 ? from : 0), bytes, (comm->rank + step) % comm->size,
                      operation));
    }
    return messages_wait(comm, operation);
}

static status_t mpi_gather(comm_t *comm, const void *mine, void *all, const size_t *lengths,
                           const size_t *offsets, const char *operation) {
    size_t longest = 0;
    for (int r = 0; r < comm->size; r++) {
        longest = lengths[r] > longest ? lengths[r] : longest;
    }
    size_t from = 0;
    do {
        TRY(gather_round(comm, mine, all, lengths, offsets, from, operation));
        from += ROUND_BYTES;
    } while (from < longest);
    if (lengths[comm->rank] > 0) {
        memmove((char *)all + offsets[comm->rank], mine, lengths[comm->rank]);
    }
    return STATUS_OK;
}

/* Straight from rank 0 to each: what is broadcast is small, and a rank that waits knows for
 * whom. */
static status_t mpi_broadcast(comm_t *comm, void *data, size_t bytes, const char *operation) {
    size_t from = 0;
    do {
        requests_clear(comm);
        char *at = (char *)data + from;
        int count = round_bytes(bytes, from);
        if (comm->rank > 0) {
            TRY(post_receive(comm, at, count, 0, operation));
        }
        for (int r = 1; r < comm->size && comm->rank == 0; r++) {
            TRY(post_send(comm, at, count, r, operation));
        }
        TRY(messages_wait(comm, operation));
        from += ROUND_BYTES;
    } while (from < bytes);
    return STATUS_OK;
}

/* Ranks with equal `key` can map each other's memory: same kernel, same name space, same
 * /dev/shm. */
typedef struct host {
    char name[HOST_NAME_BYTES];
    uint64_t key;
} host_t;

static void read_boot_id(char text_out[64]) {
    text_out[0] = '\0';
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file != NULL) {
        size_t bytes = fread(text_out, 1, 63, file);
        text_out[bytes] = '\0';
        fclose(file);
    }
}

static host_t find_host(const comm_t *comm) {
    host_t host = {0};
    gethostname(host.name, sizeof host.name - 1);
    struct stat shm = {0};
    stat("/dev/shm", &shm);
    int pretended = 0;
    const char *hosts = getenv("JMT_COMM_HOSTS"); /* for tests: as if spread over so many hosts */
    long count = hosts != NULL ? strtol(hosts, NULL, 10) : 1;
    if (count > 1) {
        pretended = (int)share_begin(count, comm->size, comm->rank);
    }
    char boot[64];
    read_boot_id(boot);
    char *text =
        text_format("%s %s %llu %d", host.name, boot, (unsigned long long)shm.st_dev, pretended);
    host.key = rng_name(text);
    free(text);
    return host;
}

static void number_hosts(comm_t *comm, const host_t *hosts) {
    uint64_t *keys = alloc_zero(comm->size, sizeof *keys);
    for (int r = 0; r < comm->size; r++) {
        int h = 0;
        while (h < comm->host_count && keys[h] != hosts[r].key) {
            h++;
        }
        if (h == comm->host_count) {
            keys[comm->host_count++] = hosts[r].key;
            memcpy(comm->host_names[h], hosts[r].name, HOST_NAME_BYTES);
        }
        comm->host_of[r] = h;
    }
    free(keys);
    comm->host = comm->host_of[comm->rank];
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank) {
            comm->local_index = comm->local_count;
        }
        if (comm->host_of[r] == comm->host) {
            comm->local_ranks[comm->local_count++] = r;
        }
    }
    comm->crowded = comm->local_count > (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static status_t find_hosts(comm_t *comm) {
    host_t mine = find_host(comm);
    host_t *all = alloc_zero(comm->size, sizeof *all);
    status_t status = comm_all_gather(comm, &mine, sizeof mine, all, "meet");
    if (status == STATUS_OK) {
        comm->host_of = alloc_zero(comm->size, sizeof *comm->host_of);
        comm->host_names = alloc_zero(comm->size, sizeof *comm->host_names);
        comm->local_ranks = alloc_zero(comm->size, sizeof *comm->local_ranks);
        number_hosts(comm, all);
    }
    free(all);
    return status;
}

/* comm->mpi, rank and size are known. */
static status_t open_group(comm_t *comm) {
    comm->requests = alloc_zero(2 * comm->size, sizeof(MPI_Request));
    comm->lengths = alloc_zero(comm->size, sizeof *comm->lengths);
    comm->offsets = alloc_zero(comm->size, sizeof *comm->offsets);
    comm->votes = alloc_zero(comm->size, sizeof *comm->votes);
    TRY(find_hosts(comm));
    if (comm->host_count == comm->size) {
        return STATUS_OK; /* nobody to share a board with, anywhere */
    }
    shared_t boards = {0};
    TRY(comm_shared_open(comm, sizeof(board_t), "the board of operations", &boards));
    comm->boards = boards;
    return STATUS_OK;
}

status_t comm_mpi_open(comm_t *comm) {
    int running = 0, finalized = 0, level = 0;
    MPI_Initialized(&running);
    MPI_Finalized(&finalized);
    REQUIRE(!running && !finalized && "one group per process");
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS ||
        level < MPI_THREAD_FUNNELED) {
        return status_fail(STATUS_UNAVAILABLE,
                           "MPI did not start; start the job with the mpirun of "
                           "the MPI this program was built with");
    }
    comm->mpi = MPI_COMM_WORLD;
    MPI_Comm_set_errhandler(comm->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->mpi, &comm->rank);
    MPI_Comm_size(comm->mpi, &comm->size);
    return open_group(comm);
}

status_t comm_mpi_split(comm_t *whole, int group, comm_t *comm) {
    int code = MPI_Comm_split(whole->mpi, group, whole->rank, &comm->mpi);
    if (code != MPI_SUCCESS) {
        comm->broken = STATUS_FAILED; /* there is nothing to close */
        return comm_mpi_check(whole, code, "split the group");
    }
    MPI_Comm_set_errhandler(comm->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->mpi, &comm->rank);
    MPI_Comm_size(comm->mpi, &comm->size);
    TRY(open_group(comm));
    comm->crowded |= whole->crowded;
    return STATUS_OK;
}

static void mpi_close(comm_t *comm) {
    int running = 0, finalized = 0;
    MPI_Initialized(&running);
    MPI_Finalized(&finalized);
    bool usable = running && !finalized && comm->broken == STATUS_OK;
    if (usable && comm->mpi != MPI_COMM_WORLD) {
        MPI_Comm_free(&comm->mpi);
    } else if (usable) {
        MPI_Finalize();
    }
}

static void mpi_abort(int exit_code) {
    int running = 0;
    MPI_Initialized(&running);
    if (running) {
        MPI_Abort(MPI_COMM_WORLD, exit_code);
    }
}

const transport_t comm_transport_mpi = {mpi_gather, mpi_broadcast, mpi_close, mpi_abort};
