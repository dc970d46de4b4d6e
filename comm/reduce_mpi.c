/* The reduction between hosts: persistent requests, made once, started every step. */
#include <limits.h>
#include <stdlib.h>

#include "comm/levels.h"
#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"

struct messages {
    MPI_Request *requests; /* group after group */
    int *peers;            /* by request */
    int *group_begin;      /* groups + 1 */
    int count;
    float *received; /* parts of other hosts' ranks, own slices only */
};

static bool is_remote(const reduce_t *reduce, int rank) {
    return reduce->comm->host_of[rank] != reduce->comm->host;
}

static int count_between(range_t range) {
    REQUIRE(range.end - range.begin <= INT_MAX);
    return (int)(range.end - range.begin);
}

static void keep_request(reduce_messages_t *messages, int peer, MPI_Request request) {
    messages->peers[messages->count] = peer;
    messages->requests[messages->count++] = request;
}

/* MPI may start a group's requests in any order, so each part has a tag. */
static int part_tag(int bucket, int part) { return TAG_REDUCE + bucket * TREE_NODES_MAX + part; }

static int weights_tag(const reduce_t *reduce, int bucket) {
    return part_tag(reduce->layout.bucket_count, 0) + bucket;
}

static status_t plan_parts(reduce_t *reduce, int bucket) {
    comm_t *comm = reduce->comm;
    MPI_Request request;
    int count = count_between(reduce_slice_range(reduce, bucket, comm->rank));
    for (int i = 0; i < reduce->source_count && count > 0; i++) {
        source_t *from = &reduce->sources[i];
        if (from->remote) {
            int code =
                MPI_Recv_init((float *)from->base + reduce->slice_at[bucket], count, MPI_FLOAT,
                              from->rank, part_tag(bucket, from->part), comm->mpi, &request);
            TRY(comm_mpi_check(comm, code, "prepare messages"));
            keep_request(reduce->messages, from->rank, request);
        }
    }
    for (int step = 1; step < comm->size; step++) {
        int rank = (comm->rank + step) % comm->size;
        range_t slice = reduce_slice_range(reduce, bucket, rank);
        count = count_between(slice);
        for (int part = 0; is_remote(reduce, rank) && count > 0 && part < reduce->part_count;
             part++) {
            int code = MPI_Send_init(reduce_part(reduce, part) + slice.begin, count, MPI_FLOAT,
                                     rank, part_tag(bucket, part), comm->mpi, &request);
            TRY(comm_mpi_check(comm, code, "prepare messages"));
            keep_request(reduce->messages, rank, request);
        }
    }
    return STATUS_OK;
}

/* The rank of another host that gets `sender`'s weights, for all of its host. */
static int receiver_of(const comm_t *comm, int sender, int host) {
    return levels_turn(comm->host_of, comm->size, sender, host);
}

static status_t plan_weights(reduce_t *reduce, int bucket) {
    comm_t *comm = reduce->comm;
    MPI_Request request;
    range_t mine = reduce_slice_range(reduce, bucket, comm->rank);
    for (int step = 1; step < comm->size; step++) {
        int rank = (comm->rank + step) % comm->size;
        range_t theirs = reduce_slice_range(reduce, bucket, rank);
        bool from = is_remote(reduce, rank) && receiver_of(comm, rank, comm->host) == comm->rank;
        bool to =
            is_remote(reduce, rank) && receiver_of(comm, comm->rank, comm->host_of[rank]) == rank;
        if (from && count_between(theirs) > 0) {
            int code =
                MPI_Recv_init(reduce_weights(reduce) + theirs.begin, count_between(theirs),
                              MPI_FLOAT, rank, weights_tag(reduce, bucket), comm->mpi, &request);
            TRY(comm_mpi_check(comm, code, "prepare messages"));
            keep_request(reduce->messages, rank, request);
        }
        if (to && count_between(mine) > 0) {
            int code =
                MPI_Send_init(reduce_weights(reduce) + mine.begin, count_between(mine), MPI_FLOAT,
                              rank, weights_tag(reduce, bucket), comm->mpi, &request);
            TRY(comm_mpi_check(comm, code, "prepare messages"));
            keep_request(reduce->messages, rank, request);
        }
    }
    return STATUS_OK;
}

/* Room for the remote parts, source after source. */
static void place_received(reduce_t *reduce, int64_t slice_elements) {
    int64_t remote = 0;
    for (int i = 0; i < reduce->source_count; i++) {
        remote += reduce->sources[i].remote;
    }
    remote = reduce->fast ? 0 : remote;
    reduce->messages->received =
        alloc_aligned((size_t)(remote * slice_elements) * sizeof *reduce->messages->received);
    float *at = reduce->messages->received;
    for (int i = 0; i < reduce->source_count && remote > 0; i++) {
        if (reduce->sources[i].remote) {
            reduce->sources[i].base = at;
            at += slice_elements;
        }
    }
}

status_t reduce_messages_open(reduce_t *reduce) {
    comm_t *comm = reduce->comm;
    int buckets = reduce->layout.bucket_count;
    if (comm->host_count == 1 && !reduce->fast) {
        return STATUS_OK;
    }
    reduce_messages_t *messages = alloc_zero(1, sizeof *messages);
    reduce->messages = messages;
    int64_t most = (int64_t)buckets * (reduce->source_count + 2 * comm->size +
                                       (int64_t)comm->size * reduce->part_count + 1);
    messages->requests = alloc_zero(most, sizeof *messages->requests);
    messages->peers = alloc_zero(most, sizeof *messages->peers);
    messages->group_begin = alloc_zero(buckets + 2, sizeof *messages->group_begin);
    place_received(reduce, reduce->slice_at[buckets]);
    status_t status = STATUS_OK;
    for (int b = 0; b < buckets && status == STATUS_OK; b++) {
        if (reduce->fast) {
            keep_request(messages, -1, MPI_REQUEST_NULL);
        } else {
            status = plan_parts(reduce, b);
        }
        messages->group_begin[b + 1] = messages->count;
    }
    for (int b = 0; b < buckets && status == STATUS_OK; b++) {
        status = plan_weights(reduce, b);
    }
    messages->group_begin[buckets + 1] = messages->count;
    return status;
}

void reduce_messages_close(reduce_t *reduce) {
    reduce_messages_t *messages = reduce->messages;
    if (messages == NULL) {
        return;
    }
    for (int i = 0; i < messages->count && !comm_is_broken(reduce->comm); i++) {
        if (messages->requests[i] != MPI_REQUEST_NULL) {
            MPI_Request_free(&messages->requests[i]);
        }
    }
    free(messages->requests);
    free(messages->peers);
    free(messages->group_begin);
    free(messages->received);
    free(messages);
    reduce->messages = NULL;
}

static status_t start_all_reduce(reduce_t *reduce, int bucket) {
    reduce_fold_local(reduce, bucket);
    range_t range = reduce_range(&reduce->layout, reduce->layout.buckets[bucket]);
    int code =
        MPI_Iallreduce(MPI_IN_PLACE, reduce_part(reduce, 0) + range.begin, count_between(range),
                       MPI_FLOAT, MPI_SUM, reduce->comm->mpi, &reduce->messages->requests[bucket]);
    return comm_mpi_check(reduce->comm, code, "reduce_publish");
}

status_t reduce_messages_start(reduce_t *reduce, int group) {
    reduce_messages_t *messages = reduce->messages;
    if (messages == NULL) {
        return STATUS_OK;
    }
    if (reduce->fast && group < reduce->layout.bucket_count) {
        return start_all_reduce(reduce, group);
    }
    int begin = messages->group_begin[group];
    int count = messages->group_begin[group + 1] - begin;
    if (count == 0) {
        return STATUS_OK;
    }
    return comm_mpi_check(reduce->comm, MPI_Startall(count, messages->requests + begin),
                          "start messages");
}

int reduce_messages_test(reduce_t *reduce, int group, bool *done_out) {
    reduce_messages_t *messages = reduce->messages;
    int begin = messages->group_begin[group], done = 0;
    int code = MPI_Testall(messages->group_begin[group + 1] - begin, messages->requests + begin,
                           &done, MPI_STATUSES_IGNORE);
    *done_out = done != 0;
    return code;
}

status_t reduce_messages_poll(reduce_t *reduce, int group, bool *done_out) {
    if (reduce->messages == NULL) {
        *done_out = true;
        return STATUS_OK;
    }
    int code = reduce_messages_test(reduce, group, done_out);
    return comm_mpi_check(reduce->comm, code, "messages between hosts");
}

bool reduce_messages_missing(reduce_t *reduce, int group, int rank) {
    reduce_messages_t *messages = reduce->messages;
    for (int i = messages == NULL ? 0 : messages->group_begin[group];
         messages != NULL && i < messages->group_begin[group + 1]; i++) {
        int done = 1;
        if (messages->peers[i] == rank) {
            MPI_Request_get_status(messages->requests[i], &done, MPI_STATUS_IGNORE);
        }
        if (!done) {
            return true;
        }
    }
    return false;
}
