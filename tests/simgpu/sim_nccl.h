/* sim_nccl.h - the board by which the processes of a communicator meet; private to sim_nccl*.c. */
#ifndef JMT_SIM_NCCL_H
#define JMT_SIM_NCCL_H

#include <nccl.h>
#include <stdatomic.h>

#include "sim_number.h"
#include "simgpu.h"

enum { SIM_RANKS = 64, SIM_CHUNK_BYTES = 64 << 10, SIM_DOING_BYTES = 160 };

typedef enum sim_collective {
    SIM_ALL_REDUCE,
    SIM_BROADCAST,
    SIM_ALL_GATHER,
    SIM_REDUCE_SCATTER
} sim_collective_t;

/* What all ranks must call alike. */
typedef struct sim_call {
    int kind, type, op, root;
    uint64_t count, where, number;
} sim_call_t;

typedef struct sim_member {
    _Atomic int pid, aborted, device; /* pid 0: not here yet */
    _Atomic uint64_t posted, done;    /* rounds of collectives: chunks given, chunks taken */
    _Atomic int is_inside;            /* what it does, else has done last */
    char doing[SIM_DOING_BYTES];
    sim_call_t call;
} sim_member_t;

/* Messages from one rank to another: one chunk at a time. */
typedef struct sim_channel {
    _Atomic uint64_t filled, taken;
    uint64_t count, at; /* of the message; bytes before this chunk */
    int type;
    char data[SIM_CHUNK_BYTES];
} sim_channel_t;

typedef struct sim_board { /* in shared memory */
    _Atomic int ranks;
    sim_member_t members[SIM_RANKS];
    char data[]; /* [ranks][SIM_CHUNK_BYTES], then [ranks][ranks] channels */
} sim_board_t;

struct ncclComm {
    sim_board_t *board;
    size_t bytes;
    int rank, ranks;
    uint64_t round, number;
    bool blocking, joined;
    int kept;       /* calls in graphs */
    uint32_t polls; /* how often a call is still under way when one asks */
    ncclResult_t error;
    char why[400], name[NCCL_UNIQUE_ID_BYTES];
};

sim_number_t sim_nccl_number(int type);
char *sim_nccl_data(const struct ncclComm *comm, int rank);
sim_channel_t *sim_nccl_channel(const struct ncclComm *comm, int from, int to);
/* For reports: this rank begins to do, or has left, what the text says. */
void sim_nccl_enter(struct ncclComm *comm, const char *text);
void sim_nccl_leave(struct ncclComm *comm);
void sim_nccl_blocked(struct ncclComm *comm); /* an operation waits for others */
/* Sets the communicator's error if another rank has aborted or died. */
void sim_nccl_look(struct ncclComm *comm);

/* What every operation of NCCL's begins with. */
typedef struct sim_nccl_op {
    sim_op_t op;
    struct ncclComm *comm;
} sim_nccl_op_t;

/* One collective (sim_nccl_collective.c), as an operation. */
sim_op_t *sim_collective_new(struct ncclComm *comm, const sim_call_t *call, const void *send,
                             void *receive);
const char *sim_collective_name(int kind);

/* Messages that move together (sim_nccl_message.c), as one operation. */
sim_op_t *sim_messages_new(struct ncclComm *comm);
void sim_messages_add(sim_op_t *op, bool sends, int peer, void *data, size_t count, int type);

#endif
