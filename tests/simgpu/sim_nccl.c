/* NCCL between processes over shared memory: communicators, groups, and the calls. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sim_nccl.h"

enum { GROUPED = 1024 };

sim_number_t sim_nccl_number(int type) {
    switch (type) {
    case ncclInt8:
        return SIM_I8;
    case ncclUint8:
        return SIM_U8;
    case ncclInt32:
        return SIM_I32;
    case ncclUint32:
        return SIM_U32;
    case ncclInt64:
        return SIM_I64;
    case ncclUint64:
        return SIM_U64;
    case ncclFloat32:
        return SIM_F32;
    case ncclFloat64:
        return SIM_F64;
    case ncclBfloat16:
        return SIM_BF16;
    default:
        sim_report(NULL, "NCCL type %d is not simulated", type);
    }
}

char *sim_nccl_data(const struct ncclComm *comm, int rank) {
    return comm->board->data + (size_t)rank * SIM_CHUNK_BYTES;
}

sim_channel_t *sim_nccl_channel(const struct ncclComm *comm, int from, int to) {
    sim_channel_t *all = (sim_channel_t *)(void *)sim_nccl_data(comm, comm->ranks);
    return &all[from * comm->ranks + to];
}

/* --- who does what -------------------------------------------------------------------------- */

static struct ncclComm *waiting;

void sim_nccl_enter(struct ncclComm *comm, const char *text) {
    sim_member_t *me = &comm->board->members[comm->rank];
    snprintf(me->doing, sizeof me->doing, "%s", text);
    atomic_store(&me->is_inside, 1);
}

void sim_nccl_leave(struct ncclComm *comm) {
    atomic_store(&comm->board->members[comm->rank].is_inside, 0);
}

static bool is_gone(const sim_member_t *member) {
    int pid = atomic_load(&member->pid);
    return pid != 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static const char *describe_all(void) {
    static char text[2000];
    size_t at = (size_t)snprintf(text, sizeof text, "rank %d waits for other ranks", waiting->rank);
    for (int rank = 0; rank < waiting->ranks && at < sizeof text; rank++) {
        const sim_member_t *member = &waiting->board->members[rank];
        at += (size_t)snprintf(text + at, sizeof text - at, "\n    rank %d %s %s%s", rank,
                               atomic_load(&member->is_inside) ? "is in" : "has left",
                               *member->doing != '\0' ? member->doing : "nothing yet",
                               is_gone(member) ? " (its process is gone)" : "");
    }
    return text;
}

void sim_nccl_look(struct ncclComm *comm) {
    for (int rank = 0; rank < comm->ranks && comm->error == ncclSuccess; rank++) {
        const sim_member_t *member = &comm->board->members[rank];
        bool aborted = atomic_load(&member->aborted);
        if (rank != comm->rank && (aborted || is_gone(member))) {
            comm->error = ncclRemoteError;
            snprintf(comm->why, sizeof comm->why, "rank %d has %s", rank,
                     aborted ? "aborted" : "died");
        }
    }
}

/* Real NCCL often notices nothing of a rank that is gone: SIMGPU_NCCL_NOTICES=0. */
void sim_nccl_blocked(struct ncclComm *comm) {
    if (sim_setting("SIMGPU_NCCL_NOTICES", 1) != 0) {
        sim_nccl_look(comm);
    }
    waiting = comm;
    sim_wait_external(describe_all);
}

/* A communicator that does not block may take no call while one is under way. */
static void refuse_early(const struct ncclComm *comm, const char *call, const void *pc) {
    if (!comm->joined || comm->polls > 0) {
        sim_report(pc, "%s while the call before is under way: ask ncclCommGetAsyncError", call);
    }
}

static ncclResult_t under_way(struct ncclComm *comm) {
    comm->polls = comm->blocking ? 0 : 1 + sim_random(3);
    return comm->polls > 0 ? ncclInProgress : ncclSuccess;
}

static struct { /* the last that a group was for */
    const struct ncclComm *comm;
    cudaStream_t stream;
} last;

bool sim_nccl_adds(cudaStream_t stream) {
    return last.comm != NULL && last.stream == stream && last.comm->polls > 0;
}

/* --- groups --------------------------------------------------------------------------------- */

static int depth;
static struct {
    sim_op_t *op;
    cudaStream_t stream;
    struct ncclComm *comm;
    bool is_messages;
} group[GROUPED];
static int group_count;

static void drop_kept(sim_op_t *op) { ((sim_nccl_op_t *)op)->comm->kept--; }

/* A graph keeps its communicator. */
static void put(sim_op_t *op, cudaStream_t stream, struct ncclComm *comm) {
    if (sim_capture_of(sim_stream_of(stream)) != NULL) {
        op->drop = drop_kept;
        comm->kept++;
    }
    sim_enqueue(stream, op);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* nccl.h has them without (void) */
ncclResult_t ncclGroupStart(void) {
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void) {
    if (depth == 0) {
        return ncclInvalidUsage;
    }
    if (--depth > 0) {
        return ncclSuccess;
    }
    ncclResult_t result = ncclSuccess;
    for (int i = 0; i < group_count; i++) {
        put(group[i].op, group[i].stream, group[i].comm);
        last.comm = group[i].comm;
        last.stream = group[i].stream;
        if (under_way(group[i].comm) == ncclInProgress) {
            result = ncclInProgress;
        }
    }
    group_count = 0;
    return result;
}
#pragma GCC diagnostic pop

static sim_op_t *grouped(sim_op_t *op, cudaStream_t stream, struct ncclComm *comm,
                         bool is_messages) {
    if (group_count == GROUPED) {
        sim_report(NULL, "NCCL: more than %d calls in a group are not simulated", GROUPED);
    }
    group[group_count].op = op;
    group[group_count].stream = stream;
    group[group_count].is_messages = is_messages;
    group[group_count++].comm = comm;
    return op;
}

/* --- collectives ---------------------------------------------------------------------------- */

static ncclResult_t start(const sim_call_t *wanted, const void *send, void *receive,
                          struct ncclComm *comm, cudaStream_t stream, const void *pc) {
    if (comm->error != ncclSuccess) {
        return comm->error;
    }
    refuse_early(comm, sim_collective_name(wanted->kind), pc);
    bool reads = wanted->kind != SIM_BROADCAST || wanted->root == comm->rank;
    if (!sim_is_device(receive) || (reads && !sim_is_device(send))) {
        sim_report(pc, "%s: a buffer is not device memory", sim_collective_name(wanted->kind));
    }
    sim_call_t call = *wanted;
    call.number = ++comm->number;
    if (sim_setting("SIMGPU_SAME_BUFFERS", 0) != 0) { /* ranks that allocate alike */
        call.where = sim_memory_offset(receive);
    }
    ncclGroupStart();
    grouped(sim_collective_new(comm, &call, send, receive), stream, comm, false);
    return ncclGroupEnd();
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_ALL_REDUCE, .type = type, .op = op, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_BROADCAST, .type = type, .root = root, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_ALL_GATHER, .type = type, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_REDUCE_SCATTER, .type = type, .op = op, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

/* --- messages ------------------------------------------------------------------------------- */

static ncclResult_t message(bool sends, void *data, size_t count, int type, int peer,
                            struct ncclComm *comm, cudaStream_t stream, const void *pc) {
    if (comm->error != ncclSuccess) {
        return comm->error;
    }
    if (peer < 0 || peer >= comm->ranks) {
        return ncclInvalidArgument;
    }
    refuse_early(comm, sends ? "ncclSend" : "ncclRecv", pc);
    if (count > 0 && !sim_is_device(data)) {
        sim_report(pc, "%s: the buffer is not device memory", sends ? "ncclSend" : "ncclRecv");
    }
    ncclGroupStart();
    sim_op_t *op = NULL;
    for (int i = 0; i < group_count; i++) {
        if (group[i].is_messages && group[i].comm == comm && group[i].stream == stream) {
            op = group[i].op;
        }
    }
    op = op != NULL ? op : grouped(sim_messages_new(comm), stream, comm, true);
    sim_messages_add(op, sends, peer, data, count, type);
    return ncclGroupEnd();
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
    return message(true, (void *)(uintptr_t)data, count, type, peer, comm, stream, SIM_PC);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    return message(false, data, count, type, peer, comm, stream, SIM_PC);
}

/* --- communicators -------------------------------------------------------------------------- */

ncclResult_t ncclGetUniqueId(ncclUniqueId *out) {
    if (sim_fails(__func__)) {
        return ncclSystemError;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    memset(out, 0, sizeof *out);
    snprintf(out->internal, sizeof out->internal, "/simgpu-%d-%lld%09ld", getpid(),
             (long long)now.tv_sec, now.tv_nsec);
    int file = shm_open(out->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0) {
        return ncclSystemError;
    }
    close(file);
    return ncclSuccess;
}

static int count_here(const struct ncclComm *comm) {
    int here = 0;
    for (int rank = 0; rank < comm->ranks; rank++) {
        here += atomic_load(&comm->board->members[rank].pid) != 0;
    }
    return here;
}

/* All are here: whether they may be. */
static void finish_join(struct ncclComm *comm) {
    const sim_member_t *members = comm->board->members;
    for (int rank = 0; rank < comm->ranks; rank++) {
        if (rank != comm->rank &&
            atomic_load(&members[rank].device) == atomic_load(&members[comm->rank].device)) {
            comm->error = ncclInvalidUsage;
            snprintf(comm->why, sizeof comm->why, "ranks %d and %d use one device", comm->rank,
                     rank);
        }
    }
    comm->joined = true;
}

static void wait_for_all(struct ncclComm *comm) {
    double limit_s = sim_now_s() + (double)sim_setting("SIMGPU_TIMEOUT", 20);
    while (count_here(comm) < comm->ranks) {
        if (sim_now_s() > limit_s) {
            sim_report(NULL, "timeout: ncclCommInitRank: %d of %d ranks came", count_here(comm),
                       comm->ranks);
        }
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    finish_join(comm);
}

static void announce(struct ncclComm *comm) {
    int nobody = 0, device;
    if (!atomic_compare_exchange_strong(&comm->board->ranks, &nobody, comm->ranks) &&
        nobody != comm->ranks) {
        sim_report(NULL, "ncclCommInitRank: rank %d says %d ranks, another says %d", comm->rank,
                   comm->ranks, nobody);
    }
    sim_member_t *me = &comm->board->members[comm->rank];
    cudaGetDevice(&device);
    atomic_store(&me->device, device + (int)sim_setting("SIMGPU_FIRST_DEVICE", 0));
    nobody = 0;
    if (!atomic_compare_exchange_strong(&me->pid, &nobody, getpid())) {
        sim_report(NULL, "ncclCommInitRank: two processes say they are rank %d", comm->rank);
    }
}

static bool map_board(struct ncclComm *comm, const char *name) {
    int file = shm_open(name, O_RDWR, 0600);
    if (file < 0) {
        return false;
    }
    comm->bytes = sizeof *comm->board + (size_t)comm->ranks * SIM_CHUNK_BYTES +
                  (size_t)comm->ranks * (size_t)comm->ranks * sizeof(sim_channel_t);
    bool sized = ftruncate(file, (off_t)comm->bytes) == 0;
    comm->board = mmap(NULL, comm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return sized && comm->board != MAP_FAILED;
}

static ncclResult_t close_comm(struct ncclComm *comm, const char *call, const void *pc) {
    sim_drain();
    if (comm->kept > 0) {
        sim_report(pc, "%s waits for ever: a graph with %d of its calls is not destroyed", call,
                   comm->kept);
    }
    munmap(comm->board, comm->bytes);
    last.comm = last.comm == comm ? NULL : last.comm;
    free(comm);
    sim_count_live(-1, "NCCL communicator", NULL);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config) {
    if (ranks < 1 || ranks > SIM_RANKS || rank < 0 || rank >= ranks) {
        return ncclInvalidArgument;
    }
    if (sim_fails(__func__)) {
        shm_unlink(id.internal);
        return ncclSystemError;
    }
    sim_main_thread();
    struct ncclComm *comm = calloc(1, sizeof *comm);
    if (comm == NULL) {
        return ncclSystemError;
    }
    comm->rank = rank;
    comm->ranks = ranks;
    comm->blocking = config == NULL || config->blocking != 0;
    if (!map_board(comm, id.internal)) {
        free(comm);
        return ncclSystemError;
    }
    sim_count_live(1, "NCCL communicator", SIM_PC);
    announce(comm);
    *out = comm;
    if (!comm->blocking) {
        snprintf(comm->name, sizeof comm->name, "%s", id.internal);
        return ncclInProgress;
    }
    wait_for_all(comm);
    shm_unlink(id.internal);
    ncclResult_t result = comm->error;
    if (result != ncclSuccess) {
        close_comm(comm, "ncclCommInitRank", SIM_PC);
        *out = NULL;
    }
    return result;
}

ncclResult_t ncclCommInitRank(ncclComm_t *out, int ranks, ncclUniqueId id, int rank) {
    return ncclCommInitRankConfig(out, ranks, id, rank, NULL);
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count_out) {
    *count_out = comm->ranks;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank_out) {
    *rank_out = comm->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error_out) {
    sim_progress(); /* lets the device go on */
    if (!comm->joined && count_here(comm) == comm->ranks) {
        finish_join(comm);
        shm_unlink(comm->name);
    }
    if (sim_setting("SIMGPU_NCCL_NOTICES", 1) != 0) {
        sim_nccl_look(comm);
    }
    *error_out = comm->error;
    if (comm->error == ncclSuccess && (!comm->joined || comm->polls > 0)) {
        comm->polls -= comm->polls > 0;
        *error_out = ncclInProgress;
    }
    return ncclSuccess;
}

/* What is under way ends without a result. */
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    atomic_store(&comm->board->members[comm->rank].aborted, 1);
    return close_comm(comm, "ncclCommAbort", SIM_PC);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    sim_drain();
    return comm->error;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    return close_comm(comm, "ncclCommDestroy", SIM_PC);
}

ncclResult_t ncclGetVersion(int *version_out) {
    *version_out = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t error) {
    switch (error) {
    case ncclSuccess:
        return "no error";
    case ncclSystemError:
        return "unhandled system error";
    case ncclInvalidArgument:
        return "invalid argument";
    case ncclInvalidUsage:
        return "invalid usage";
    case ncclInProgress:
        return "the call is under way";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    default:
        return "NCCL error";
    }
}

const char *ncclGetLastError(ncclComm_t comm) { return comm != NULL ? comm->why : ""; }
