/* name_table.h - names numbered in the order in which they first come, found without a search
 * through all of them. Names are the caller's and must stay. All zero: empty. */
#ifndef JMT_NAME_TABLE_H
#define JMT_NAME_TABLE_H

#include <stdint.h>

typedef struct name_table {
    const char **items;
    int64_t count;
    int64_t *slots, room; /* by hash: 1 + the number of a name; 0: none */
} name_table_t;

int64_t name_find(const name_table_t *table, const char *name); /* -1: not there */
int64_t name_add(name_table_t *table, const char *name);        /* its number; new or not */
void name_table_free(name_table_t *table);

#endif
