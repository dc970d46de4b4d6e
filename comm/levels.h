/* levels.h - who exchanges with whom where hosts have several ranks each. Every rank has one
 * stand-in on each other host, which joins that host's parts of its slices for it and passes its
 * weights on there; so between two hosts a slice goes once. Pure arithmetic: no messages. */
#ifndef JMT_COMM_LEVELS_H
#define JMT_COMM_LEVELS_H

#include <stdbool.h>

#include "comm/tree.h"

typedef struct levels {
    int ranks, hosts; /* hosts 1: one level, all ranks as if on one host */
    int *host_of;     /* [ranks] */
    int *first;       /* [hosts + 1]: host h has the ranks from first[h] to first[h + 1] */
    int *stand_ins;   /* [ranks][hosts] */
} levels_t;

/* Where a subtree of the gradients comes from: part `part` of a rank of the own host, or subtree
 * `part` that the ranks of another host have joined, from `rank`. */
typedef struct level_part {
    tree_node_t leaves;
    int rank, part;
} level_part_t;

/* The rank of `host` that stands there for `owner`, a rank of another: by turns, so that those of a
 * host share the work. */
int levels_turn(const int *host_of, int ranks, int owner, int host);

/* host_of: by rank, numbered as they first appear. Two levels where there are several hosts, one at
 * least has several ranks, and the ranks of each follow each other, as only then what a host joins
 * is a run of the tree. */
void levels_open(levels_t *levels, int ranks, const int *host_of);
void levels_close(levels_t *levels);

/* `owner` itself on its own host. */
int levels_stand_in(const levels_t *levels, int owner, int host);
/* A rank joins what its host has of the slices of `owner`: its own, and those it stands in for. */
bool levels_joins(const levels_t *levels, int rank, int owner);

/* The largest subtrees that the ranks of a host hold whole, left to right; their number. */
int levels_cover(const levels_t *levels, int shards, int host,
                 tree_node_t nodes_out[TREE_NODES_MAX]);
/* All that rank adds up for its own slices, left to right, and which of it is of its own host. The
 * caller frees. */
level_part_t *levels_parts(const levels_t *levels, int shards, int rank, int *count_out,
                           int *local_begin_out, int *local_count_out);

#endif
