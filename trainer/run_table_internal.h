/* run_table_internal.h - what run_table.c (reading, rows and their names), run_table_rows.c and
 * run_table_print.c share. */
#ifndef JMT_RUN_TABLE_INTERNAL_H
#define JMT_RUN_TABLE_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "configs/config.h"
#include "trainer/run_table.h"

typedef struct row {
    char *name, *marks; /* with the configuration, but for its neutral keys, together one row */
    config_t *config;   /* of its first run, as it was evaluated */
    char *label;        /* the name, and where rows share it the settings in which they differ */
    json_t *settings;   /* these: KEY: VALUE */
    int run_count;
    json_int_t *seeds, *counts;                     /* labels scored */
    double (*values)[TABLE_COLUMNS];                /* NaN: this evaluation does not have it */
    double low[TABLE_COLUMNS], high[TABLE_COLUMNS]; /* over people; NaN: not known */
} row_t;

struct run_table {
    char *data, *identity, *training_data, *split, *selected_on;
    row_t *rows;
    int row_count;
};

#endif
