/* page_table.h - rows and columns, as wide as their widest cell. On a terminal that is too narrow
 * the least important columns are left out, and then the first one is cut. */
#ifndef JMT_PAGE_TABLE_H
#define JMT_PAGE_TABLE_H

#include <stdbool.h>

#include "launch/page.h"

typedef struct page_column {
    const char *title;
    bool right;   /* numbers */
    int dispense; /* columns with the highest go first; 0: stays */
} page_column_t;

typedef struct page_table page_table_t;

page_table_t *page_table_open(const page_column_t *columns, int column_count);
void page_table_close(page_table_t *table);

/* Texts are copied, one for each column. */
void page_table_row(page_table_t *table, const char *const *cells);
void page_table_rule(page_table_t *table); /* what follows is a sum */
void page_table_print(const page_table_t *table, const page_t *page);

#endif
