#include "comm/levels.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

int levels_turn(const int *host_of, int ranks, int owner, int host) {
    int turn = 0, count = 0, found = 0;
    for (int r = 0; r < ranks; r++) {
        turn += r < owner && host_of[r] == host_of[owner];
        count += host_of[r] == host;
    }
    REQUIRE(count > 0);
    for (int left = turn % count; host_of[found] != host || left > 0; found++) {
        left -= host_of[found] == host;
    }
    return found;
}

static int count_hosts(int ranks, const int *host_of) {
    int hosts = 1;
    for (int r = 1; r < ranks; r++) {
        if (host_of[r] != host_of[r - 1] && host_of[r] < hosts) {
            return 1; /* it was there before: not in one run */
        }
        hosts += host_of[r] == hosts;
    }
    return hosts == ranks ? 1 : hosts;
}

void levels_open(levels_t *levels, int ranks, const int *host_of) {
    int hosts = count_hosts(ranks, host_of);
    *levels =
        (levels_t){ranks, hosts, alloc_zero(ranks, sizeof(int)), alloc_zero(hosts + 1, sizeof(int)),
                   alloc_zero((int64_t)ranks * hosts, sizeof(int))};
    for (int r = 0; r < ranks; r++) {
        levels->host_of[r] = hosts == 1 ? 0 : host_of[r];
        levels->first[levels->host_of[r] + 1] = r + 1;
    }
    for (int i = 0; i < ranks * hosts; i++) {
        int owner = i / hosts, host = i % hosts;
        levels->stand_ins[i] = levels->host_of[owner] == host
                                   ? owner
                                   : levels_turn(levels->host_of, ranks, owner, host);
    }
}

void levels_close(levels_t *levels) {
    free(levels->host_of);
    free(levels->first);
    free(levels->stand_ins);
    memset(levels, 0, sizeof *levels);
}

int levels_stand_in(const levels_t *levels, int owner, int host) {
    return levels->stand_ins[owner * levels->hosts + host];
}

bool levels_joins(const levels_t *levels, int rank, int owner) {
    return levels_stand_in(levels, owner, levels->host_of[rank]) == rank;
}

int levels_cover(const levels_t *levels, int shards, int host,
                 tree_node_t nodes_out[TREE_NODES_MAX]) {
    tree_node_t first = tree_run(shards, levels->first[host], levels->ranks);
    tree_node_t last = tree_run(shards, levels->first[host + 1] - 1, levels->ranks);
    return tree_cover(shards, (tree_node_t){first.begin, last.end}, nodes_out);
}

/* Of a rank, or of the host that `rank` joins for. */
static int put_parts(level_part_t *parts_out, const tree_node_t *nodes, int count, int rank) {
    for (int part = 0; part < count; part++) {
        parts_out[part] = (level_part_t){nodes[part], rank, part};
    }
    return count;
}

level_part_t *levels_parts(const levels_t *levels, int shards, int rank, int *count_out,
                           int *local_begin_out, int *local_count_out) {
    tree_node_t nodes[TREE_NODES_MAX];
    level_part_t *parts = alloc_zero((int64_t)levels->ranks * TREE_NODES_MAX, sizeof *parts);
    int count = 0;
    for (int host = 0; host < levels->hosts; host++) {
        if (host != levels->host_of[rank]) {
            int joined = levels_cover(levels, shards, host, nodes);
            count += put_parts(parts + count, nodes, joined, levels_stand_in(levels, rank, host));
            continue;
        }
        *local_begin_out = count;
        for (int r = levels->first[host]; r < levels->first[host + 1]; r++) {
            int own = tree_cover(shards, tree_run(shards, r, levels->ranks), nodes);
            count += put_parts(parts + count, nodes, own, r);
        }
        *local_count_out = count - *local_begin_out;
    }
    *count_out = count;
    return parts;
}
