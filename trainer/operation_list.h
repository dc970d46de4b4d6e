/* operation_list.h - the distinct operations of a planned model, and one of each kind that it does
 * not use: what `jmt bench kernels` times. */
#ifndef JMT_OPERATION_LIST_H
#define JMT_OPERATION_LIST_H

#include "trainer/executor.h"

typedef struct operation {
    op_description_t description;
    int uses; /* in one step; 0: of a kind that the model does not use */
} operation_t;

typedef struct operation_list {
    operation_t *items;
    int count;
} operation_list_t;

/* rows, cols, length: what kinds that are not in use are described with (rows of one shard, a
 * multiple of length). */
void operation_list_open(const executor_t *executor, int64_t rows, int64_t cols, int64_t length,
                         operation_list_t *list_out);
void operation_list_free(operation_list_t *list);

#endif
