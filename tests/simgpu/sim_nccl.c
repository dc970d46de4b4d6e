/* NCCL between processes over shared memory.  A collective is an operation of a stream that goes
 * forward in rounds of one chunk: post mine, wait for all, compare what all of them called, combine.
 * Different calls at the same place are reported, not waited for. */
#include "sim_number.h"
#include "simgpu.h"
#include <errno.h>
#include <fcntl.h>
#include <nccl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 64, CHUNK = 64 << 10 };
enum kind { ALL_REDUCE, BROADCAST, ALL_GATHER, REDUCE_SCATTER };
static const char *const kinds[] = {"ncclAllReduce", "ncclBroadcast", "ncclAllGather",
                                    "ncclReduceScatter"};
struct call {
    enum kind kind;
    int type, op, root;
    size_t count, where;
    unsigned number;
};
struct member {
    _Atomic int pid;
    _Atomic unsigned posted, done;
    _Atomic int aborted;
    struct call call;
};
struct board {
    _Atomic int nranks;
    struct member rank[RANKS];
    char data[][CHUNK];
};
struct ncclComm {
    struct board *board;
    size_t size;
    int rank, n;
    unsigned round, number;
    ncclResult_t error;
    char why[400];
};
struct collective {
    sim_op_t op;
    ncclComm_t comm;
    struct call call;
    const void *send;
    void *recv;
    size_t at;
    bool posted;
};

static enum number number_of(int t) {
    static const enum number of[] = {
        [ncclInt8] = N_I8,      [ncclUint8] = N_U8,    [ncclInt32] = N_I32,
        [ncclUint32] = N_U32,   [ncclInt64] = N_I64,   [ncclUint64] = N_I64,
        [ncclFloat16] = N_NONE, [ncclFloat32] = N_F32, [ncclFloat64] = N_F64,
        [ncclBfloat16] = N_BF16};
    if (t < 0 || t > ncclBfloat16 || of[t] == N_NONE)
        sim_report(NULL, "NCCL type %d is not simulated", t);
    return of[t];
}
static void combine(const struct collective *c, void *out, size_t n) {
    const struct board *b = c->comm->board;
    enum number t = number_of(c->call.type);
    for (size_t i = 0; i < n; i++) {
        double x = number_load(t, b->data[0], i);
        for (int r = 1; r < c->comm->n; r++) {
            double y = number_load(t, b->data[r], i);
            x = c->call.op == ncclMax    ? (y > x ? y : x)
                : c->call.op == ncclMin  ? (y < x ? y : x)
                : c->call.op == ncclProd ? x * y
                                         : (float)(x + y);
        }
        number_store(t, out, i, c->call.op == ncclAvg ? x / c->comm->n : x);
    }
}

/* ---- progress ---- */
static ncclComm_t waiting;
static void say(const struct call *c, char *out, size_t n) {
    snprintf(out, n, "#%u %s(count %zu, type %d, op %d, root %d, buffer +%#zx)", c->number,
             kinds[c->kind], c->count, c->type, c->op, c->root, c->where);
}
static const char *who(void) {
    static char text[1200];
    size_t at = (size_t)snprintf(text, sizeof text, "rank %d waits in a collective", waiting->rank);
    for (int r = 0; r < waiting->n && at < sizeof text - 160; r++) {
        const struct member *m = &waiting->board->rank[r];
        char call[120];
        say(&m->call, call, sizeof call);
        at += (size_t)snprintf(
            text + at, sizeof text - at, "\n    rank %d %s %s%s", r,
            m->posted > waiting->round ? "is in" : "has not come; its last was",
            m->posted ? call : "nothing",
            m->pid && kill(m->pid, 0) && errno == ESRCH ? " (its process is gone)" : "");
    }
    return text;
}
static void fail(ncclComm_t comm, ncclResult_t e, const char *why) {
    if (!comm->error)
        snprintf(comm->why, sizeof comm->why, "%s", why);
    comm->error = comm->error ? comm->error : e;
}
static bool all_have(ncclComm_t comm, bool done, unsigned round) {
    for (int r = 0; r < comm->n; r++) {
        struct member *m = &comm->board->rank[r];
        if (m->aborted || (m->pid && kill(m->pid, 0) && errno == ESRCH && m->posted < round))
            fail(comm, ncclRemoteError, "another rank has aborted or died");
        if ((done ? m->done : m->posted) < round)
            return false;
    }
    return true;
}
static bool run(sim_op_t *op) {
    struct collective *c = (struct collective *)op;
    ncclComm_t comm = c->comm;
    struct member *me = &comm->board->rank[comm->rank];
    size_t size = number_size(number_of(c->call.type)), bytes = c->call.count * size,
           parts = c->call.kind == REDUCE_SCATTER ? (size_t)comm->n : 1;
    if (me->aborted)
        return true;
    if (!c->at && !c->posted) {
        bool sends = c->call.kind != BROADCAST || c->call.root == comm->rank;
        sim_touch(c->send, sends ? bytes * parts : 0, SIM_READ, op->name);
    }
    while (c->at < bytes * parts) {
        size_t at = c->at % bytes, part = c->at / bytes,
               n = bytes - at < CHUNK ? bytes - at : CHUNK;
        waiting = comm;
        sim_wait_external(who);
        if (!c->posted) {
            if (!all_have(comm, true, comm->round))
                return false;
            me->call = c->call;
            if (c->call.kind != BROADCAST || c->call.root == comm->rank)
                memcpy(comm->board->data[comm->rank], (const char *)c->send + part * bytes + at, n);
            me->posted = comm->round + 1;
            c->posted = true;
        }
        if (!all_have(comm, false, comm->round + 1))
            return false;
        for (int r = 0; r < comm->n; r++)
            if (memcmp(&comm->board->rank[r].call, &c->call, sizeof c->call)) {
                char mine[120], other[120];
                say(&c->call, mine, sizeof mine);
                say(&comm->board->rank[r].call, other, sizeof other);
                sim_report(NULL, "mismatched collectives: rank %d calls %s, rank %d calls %s",
                           comm->rank, mine, r, other);
            }
        char *out = (char *)c->recv + at;
        switch (c->call.kind) {
        case ALL_REDUCE:
            sim_touch(out, n, SIM_WRITE, op->name);
            combine(c, out, n / size);
            break;
        case REDUCE_SCATTER:
            if ((int)part == comm->rank) {
                sim_touch(out, n, SIM_WRITE, op->name);
                combine(c, out, n / size);
            }
            break;
        case BROADCAST:
            sim_touch(out, n, SIM_WRITE, op->name);
            memcpy(out, comm->board->data[c->call.root], n);
            break;
        case ALL_GATHER:
            for (int r = 0; r < comm->n; r++) {
                sim_touch(out + (size_t)r * bytes, n, SIM_WRITE, op->name);
                memcpy(out + (size_t)r * bytes, comm->board->data[r], n);
            }
        }
        me->done = ++comm->round;
        c->posted = false;
        c->at += n;
    }
    return true;
}

/* ---- the calls ---- */
static bool strict = true;
__attribute__((constructor)) static void nccl_init(void) {
    const char *s = getenv("SIMGPU_SAME_BUFFERS");
    strict = !s || *s != '0';
}
static int depth;
static struct {
    struct collective *c;
    cudaStream_t stream;
} * group;
static size_t ngroup;
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* nccl.h has them without (void) */
ncclResult_t ncclGroupStart(void) { return depth++, ncclSuccess; }
ncclResult_t ncclGroupEnd(void) {
    if (!depth)
        return ncclInvalidUsage;
    if (--depth)
        return ncclSuccess;
    for (size_t i = 0; i < ngroup; i++)
        sim_enqueue(group[i].stream, group[i].c);
    return ngroup = 0, ncclSuccess;
}
static ncclResult_t start(enum kind kind, const void *send, void *recv, size_t count, int type,
                          int op, int root, ncclComm_t comm, cudaStream_t stream) {
    if (comm->error)
        return comm->error;
    if (!sim_is_device(recv) || (!sim_is_device(send) && (kind != BROADCAST || root == comm->rank)))
        sim_report(__builtin_return_address(0), "%s: a buffer is not device memory", kinds[kind]);
    struct collective *c = sim_op_new(sizeof *c, kinds[kind], run, NULL);
    c->comm = comm;
    c->call.kind = kind; /* not one initialiser: the padding must stay zero for memcmp */
    c->call.type = type;
    c->call.op = op;
    c->call.root = root;
    c->call.count = count;
    c->call.where =
        strict ? sim_memory_offset(recv) : 0; /* ranks that run one program use one layout */
    c->call.number = ++comm->number;
    c->send = send;
    c->recv = recv;
    ncclGroupStart();
    group = realloc(group, (ngroup + 1) * sizeof *group);
    group[ngroup].c = c;
    group[ngroup++].stream = stream;
    return ncclGroupEnd();
}
ncclResult_t ncclAllReduce(const void *s, void *r, size_t n, ncclDataType_t t, ncclRedOp_t op,
                           ncclComm_t c, cudaStream_t st) {
    return start(ALL_REDUCE, s, r, n, t, op, 0, c, st);
}
ncclResult_t ncclBroadcast(const void *s, void *r, size_t n, ncclDataType_t t, int root,
                           ncclComm_t c, cudaStream_t st) {
    return start(BROADCAST, s, r, n, t, 0, root, c, st);
}
ncclResult_t ncclAllGather(const void *s, void *r, size_t n, ncclDataType_t t, ncclComm_t c,
                           cudaStream_t st) {
    return start(ALL_GATHER, s, r, n, t, 0, 0, c, st);
}
ncclResult_t ncclReduceScatter(const void *s, void *r, size_t n, ncclDataType_t t, ncclRedOp_t op,
                               ncclComm_t c, cudaStream_t st) {
    return start(REDUCE_SCATTER, s, r, n, t, op, 0, c, st);
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/simgpu-%d-%ld", getpid(),
             (long)time(NULL) ^ random());
    int fd = shm_open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    return fd >= 0 && !close(fd) ? ncclSuccess : ncclSystemError;
}
ncclResult_t ncclCommInitRank(ncclComm_t *out, int n, ncclUniqueId id, int rank) {
    const char *limit = getenv("SIMGPU_TIMEOUT");
    ncclComm_t c = calloc(1, sizeof *c);
    int fd = shm_open(id.internal, O_RDWR, 0600), joined = 0;
    c->size = sizeof *c->board + (size_t)n * CHUNK;
    if (fd < 0 || n > RANKS || rank >= n || ftruncate(fd, (off_t)c->size))
        return free(c), ncclInvalidArgument;
    c->board = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    c->rank = rank;
    c->n = n;
    int expected = 0;
    if (!atomic_compare_exchange_strong(&c->board->nranks, &expected, n) && expected != n)
        sim_report(NULL, "ncclCommInitRank: rank %d says %d ranks, another says %d", rank, n,
                   expected);
    expected = 0;
    if (!atomic_compare_exchange_strong(&c->board->rank[rank].pid, &expected, getpid()))
        sim_report(NULL, "ncclCommInitRank: two processes say they are rank %d", rank);
    for (int tries = (limit ? atoi(limit) : 20) * 1000; joined < n; tries--) {
        joined = 0;
        for (int r = 0; r < n; r++)
            joined += c->board->rank[r].pid != 0;
        if (!tries)
            sim_report(NULL, "timeout: ncclCommInitRank: %d of %d ranks came", joined, n);
        if (joined < n)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    shm_unlink(id.internal);
    return *out = c, ncclSuccess;
}
ncclResult_t ncclCommCount(ncclComm_t c, int *n) { return *n = c->n, ncclSuccess; }
ncclResult_t ncclCommUserRank(ncclComm_t c, int *r) { return *r = c->rank, ncclSuccess; }
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *e) {
    cudaStreamQuery(NULL); /* let the device go on a little */
    all_have(c, false, c->round);
    return *e = c->error, ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t c) {
    c->board->rank[c->rank].aborted = 1;
    sim_drain();
    return ncclSuccess; /* operations of the past still name it: not freed */
}
ncclResult_t ncclCommFinalize(ncclComm_t c) { return sim_drain(), c->error; }
ncclResult_t ncclCommDestroy(ncclComm_t c) {
    sim_drain();
    munmap(c->board, c->size);
    return free(c), ncclSuccess;
}
ncclResult_t ncclGetVersion(int *v) { return *v = NCCL_VERSION_CODE, ncclSuccess; }
const char *ncclGetErrorString(ncclResult_t e) {
    return e ? e == ncclRemoteError ? "remote error" : "NCCL error" : "no error";
}
const char *ncclGetLastError(ncclComm_t c) { return c ? c->why : ""; }
