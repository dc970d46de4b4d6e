/* same_on_ranks.h - ranks that were started differently are found before they compute. */
#ifndef JMT_SAME_ON_RANKS_H
#define JMT_SAME_ON_RANKS_H

#include "comm/comm.h"

/* Collective. STATUS_INPUT where the lines of `text` are not those of rank 0, naming the first line
 * that differs. */
status_t same_on_ranks(comm_t *comm, const char *text) MUST_CHECK;

#endif
