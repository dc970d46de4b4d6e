/* ncclSend and ncclRecv: the messages of a group move together, chunk by chunk, each over the
 * channel from its sender to its receiver. A send is over when all of it was taken. */
#include <stdio.h>
#include <stdlib.h>

#include "sim_nccl.h"

enum { MESSAGES = 2 * SIM_RANKS * 4 };

typedef struct message {
    bool sends, waits; /* waits: for its last chunk to be taken */
    int peer, type;
    char *data;
    uint64_t count;
    size_t bytes, at;
    bool done;
} message_t;

typedef struct messages {
    sim_op_t op;
    struct ncclComm *comm;
    bool begun;
    int count;
    message_t all[MESSAGES];
} messages_t;

/* SIMGPU_BYTES: what this process has sent to each rank of its communicators. */
static struct {
    int rank;
    unsigned long long bytes[SIM_RANKS];
} sent;

__attribute__((destructor)) static void write_sent(void) {
    const char *path = getenv("SIMGPU_BYTES");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    for (int peer = 0; peer < SIM_RANKS && file != NULL; peer++) {
        if (sent.bytes[peer] > 0) {
            fprintf(file, "rank %d to %d bytes %llu\n", sent.rank, peer, sent.bytes[peer]);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void begin(messages_t *m) {
    char text[SIM_DOING_BYTES];
    size_t at = 0;
    for (int i = 0; i < m->count; i++) {
        const message_t *message = &m->all[i];
        sent.rank = m->comm->rank;
        sent.bytes[message->peer] += message->sends ? message->bytes : 0;
        sim_touch(message->data, message->bytes, message->sends ? SIM_READ : SIM_WRITE,
                  message->sends ? "ncclSend" : "ncclRecv");
        if (at < sizeof text) {
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s(count %llu, rank %d)",
                                   i > 0 ? " " : "", message->sends ? "ncclSend" : "ncclRecv",
                                   (unsigned long long)message->count, message->peer);
        }
    }
    sim_nccl_enter(m->comm, text);
    m->begun = true;
}

static size_t next_chunk(const message_t *message) {
    size_t left = message->bytes - message->at;
    return left < SIM_CHUNK_BYTES ? left : SIM_CHUNK_BYTES;
}

static bool send_chunk(message_t *message, sim_channel_t *channel) {
    if (atomic_load(&channel->filled) != atomic_load(&channel->taken)) {
        return false;
    }
    if (message->waits) {
        message->done = true;
        return true;
    }
    size_t n = next_chunk(message);
    channel->count = message->count;
    channel->type = message->type;
    channel->at = message->at;
    memcpy(channel->data, message->data + message->at, n);
    message->at += n;
    message->waits = message->at == message->bytes;
    atomic_fetch_add(&channel->filled, 1);
    return true;
}

static bool receive_chunk(const messages_t *m, message_t *message, sim_channel_t *channel) {
    if (atomic_load(&channel->filled) == atomic_load(&channel->taken)) {
        return false;
    }
    if (channel->count != message->count || channel->type != message->type ||
        channel->at != message->at) {
        sim_report(NULL,
                   "mismatched messages: rank %d receives %llu of type %d from rank %d, which "
                   "sends %llu of type %d",
                   m->comm->rank, (unsigned long long)message->count, message->type, message->peer,
                   (unsigned long long)channel->count, channel->type);
    }
    size_t n = next_chunk(message);
    memcpy(message->data + message->at, channel->data, n);
    message->at += n;
    message->done = message->at == message->bytes;
    atomic_fetch_add(&channel->taken, 1);
    return true;
}

/* Messages of one channel follow each other. */
static bool is_first(const messages_t *m, int index) {
    for (int i = 0; i < index; i++) {
        if (!m->all[i].done && m->all[i].sends == m->all[index].sends &&
            m->all[i].peer == m->all[index].peer) {
            return false;
        }
    }
    return true;
}

static bool move(messages_t *m, int index) {
    message_t *message = &m->all[index];
    int me = m->comm->rank;
    if (message->done || !is_first(m, index)) {
        return false;
    }
    return message->sends ? send_chunk(message, sim_nccl_channel(m->comm, me, message->peer))
                          : receive_chunk(m, message, sim_nccl_channel(m->comm, message->peer, me));
}

static bool run_messages(sim_op_t *op) {
    messages_t *m = (messages_t *)op;
    if (atomic_load(&m->comm->board->members[m->comm->rank].aborted)) {
        return true;
    }
    if (!m->begun) {
        begin(m);
    }
    bool moved = true, done = false;
    while (moved && !done) {
        moved = false;
        done = true;
        for (int i = 0; i < m->count; i++) {
            moved |= move(m, i);
            done &= m->all[i].done;
        }
    }
    if (!done) {
        sim_nccl_blocked(m->comm);
        return false;
    }
    sim_nccl_leave(m->comm);
    return true;
}

sim_op_t *sim_messages_new(struct ncclComm *comm) {
    messages_t *m = sim_op_new(sizeof *m, "ncclSend, ncclRecv", run_messages, NULL);
    m->comm = comm;
    return &m->op;
}

void sim_messages_add(sim_op_t *op, bool sends, int peer, void *data, size_t count, int type) {
    messages_t *m = (messages_t *)op;
    if (m->count == MESSAGES) {
        sim_report(NULL, "NCCL: more than %d messages in a group are not simulated", MESSAGES);
    }
    m->all[m->count++] = (message_t){.sends = sends,
                                     .peer = peer,
                                     .type = type,
                                     .data = data,
                                     .count = count,
                                     .bytes = count * sim_number_size(sim_nccl_number(type))};
}
