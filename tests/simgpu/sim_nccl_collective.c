/* Collectives: they go forward in rounds of one chunk. Each rank posts its chunk and what it
 * called, waits for all, compares, and combines. Different calls at the same place are reported. */
#include <stdio.h>

#include "sim_nccl.h"

typedef struct collective {
    sim_op_t op;
    struct ncclComm *comm;
    sim_call_t call;
    const void *send;
    void *receive;
    size_t at; /* bytes done */
    bool begun, posted;
} collective_t;

const char *sim_collective_name(int kind) {
    static const char *const names[] = {"ncclAllReduce", "ncclBroadcast", "ncclAllGather",
                                        "ncclReduceScatter"};
    return names[kind];
}

static void describe(const sim_call_t *call, char *out, size_t size) {
    snprintf(out, size, "#%llu %s(count %llu, type %d, op %d, root %d, buffer +%#llx)",
             (unsigned long long)call->number, sim_collective_name(call->kind),
             (unsigned long long)call->count, call->type, call->op, call->root,
             (unsigned long long)call->where);
}

static double combined(int op, double x, double y) {
    switch (op) {
    case ncclMax:
        return y > x ? y : x;
    case ncclMin:
        return y < x ? y : x;
    case ncclProd:
        return x * y;
    default:
        return (float)(x + y);
    }
}

/* The chunks of all ranks, in their order. */
static void reduce(const collective_t *c, void *out, size_t count) {
    const struct ncclComm *comm = c->comm;
    sim_number_t type = sim_nccl_number(c->call.type);
    for (size_t i = 0; i < count; i++) {
        double x = sim_number_load(type, sim_nccl_data(comm, 0), i);
        for (int rank = 1; rank < comm->ranks; rank++) {
            x = combined(c->call.op, x, sim_number_load(type, sim_nccl_data(comm, rank), i));
        }
        sim_number_store(type, out, i, c->call.op == ncclAvg ? x / comm->ranks : x);
    }
}

static bool all_reached(const struct ncclComm *comm, bool done, uint64_t round) {
    for (int rank = 0; rank < comm->ranks; rank++) {
        sim_member_t *member = &comm->board->members[rank];
        if (atomic_load(done ? &member->done : &member->posted) < round) {
            return false;
        }
    }
    return true;
}

static void compare_calls(const collective_t *c) {
    for (int rank = 0; rank < c->comm->ranks; rank++) {
        const sim_call_t *other = &c->comm->board->members[rank].call;
        if (memcmp(other, &c->call, sizeof c->call) != 0) {
            char mine[SIM_DOING_BYTES], theirs[SIM_DOING_BYTES];
            describe(&c->call, mine, sizeof mine);
            describe(other, theirs, sizeof theirs);
            sim_report(NULL, "mismatched collectives: rank %d calls %s, rank %d calls %s",
                       c->comm->rank, mine, rank, theirs);
        }
    }
}

static bool sends(const collective_t *c) {
    return c->call.kind != SIM_BROADCAST || c->call.root == c->comm->rank;
}

/* bytes: what one rank gives or gets, before it is gathered or scattered. */
static void begin(collective_t *c, size_t bytes) {
    char text[SIM_DOING_BYTES];
    size_t ranks = (size_t)c->comm->ranks;
    describe(&c->call, text, sizeof text);
    sim_nccl_enter(c->comm, text);
    sim_touch(c->send, sends(c) ? bytes * (c->call.kind == SIM_REDUCE_SCATTER ? ranks : 1) : 0,
              SIM_READ, c->op.name);
    sim_touch(c->receive, bytes * (c->call.kind == SIM_ALL_GATHER ? ranks : 1), SIM_WRITE,
              c->op.name);
    c->begun = true;
}

static bool post(collective_t *c, size_t n) {
    struct ncclComm *comm = c->comm;
    sim_member_t *me = &comm->board->members[comm->rank];
    if (!all_reached(comm, true, comm->round)) {
        return false;
    }
    me->call = c->call;
    if (sends(c)) {
        memcpy(sim_nccl_data(comm, comm->rank), (const char *)c->send + c->at, n);
    }
    atomic_store(&me->posted, comm->round + 1);
    c->posted = true;
    return true;
}

static void take(const collective_t *c, size_t bytes, size_t n) {
    const struct ncclComm *comm = c->comm;
    size_t part = c->at / bytes, offset = c->at % bytes;
    char *out = (char *)c->receive + offset;
    size_t count = n / sim_number_size(sim_nccl_number(c->call.type));
    switch ((sim_collective_t)c->call.kind) {
    case SIM_ALL_REDUCE:
        reduce(c, out, count);
        break;
    case SIM_REDUCE_SCATTER:
        if ((int)part == comm->rank) {
            reduce(c, out, count);
        }
        break;
    case SIM_BROADCAST:
        memcpy(out, sim_nccl_data(comm, c->call.root), n);
        break;
    case SIM_ALL_GATHER:
        for (int rank = 0; rank < comm->ranks; rank++) {
            memcpy(out + (size_t)rank * bytes, sim_nccl_data(comm, rank), n);
        }
        break;
    }
}

static bool run_collective(sim_op_t *op) {
    collective_t *c = (collective_t *)op;
    struct ncclComm *comm = c->comm;
    sim_member_t *me = &comm->board->members[comm->rank];
    size_t bytes = c->call.count * sim_number_size(sim_nccl_number(c->call.type));
    size_t all = bytes * (c->call.kind == SIM_REDUCE_SCATTER ? (size_t)comm->ranks : 1);
    if (atomic_load(&me->aborted)) {
        return true;
    }
    if (!c->begun) {
        begin(c, bytes);
    }
    while (c->at < all) {
        size_t left = bytes - c->at % bytes, n = left < SIM_CHUNK_BYTES ? left : SIM_CHUNK_BYTES;
        if ((!c->posted && !post(c, n)) || !all_reached(comm, false, comm->round + 1)) {
            sim_nccl_blocked(comm);
            return false;
        }
        compare_calls(c);
        take(c, bytes, n);
        atomic_store(&me->done, ++comm->round);
        c->posted = false;
        c->at += n;
    }
    sim_nccl_leave(comm);
    return true;
}

static void count_again(sim_op_t *op) {
    collective_t *c = (collective_t *)op;
    c->call.number = ++c->comm->number;
}

sim_op_t *sim_collective_new(struct ncclComm *comm, const sim_call_t *call, const void *send,
                             void *receive) {
    collective_t *c = sim_op_new(sizeof *c, sim_collective_name(call->kind), run_collective, NULL);
    c->op.again = count_again;
    c->comm = comm;
    c->call = *call;
    c->send = send;
    c->receive = receive;
    return &c->op;
}
