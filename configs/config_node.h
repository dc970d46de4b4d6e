/* config_node.h - a YAML document as a tree with positions, before anyone asks what its keys mean;
 * private to configs/. */
#ifndef JMT_CONFIG_NODE_H
#define JMT_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

/* What an error message begins with: "FILE:LINE:COL: ", or "--set K=V: ". */
typedef struct config_place {
    const char *name; /* file name, or "--set K=V" */
    bool is_set;
} config_place_t;

typedef enum { NODE_SCALAR, NODE_LIST, NODE_MAP } node_kind_t;

typedef struct config_node {
    node_kind_t kind;
    int line, column; /* from 1 */
    char *text;       /* NODE_SCALAR */
    bool quoted;
    struct config_node *children; /* NODE_LIST: items; NODE_MAP: key, value, key, value, ... */
    int child_count;
} config_node_t;

/* STATUS_INPUT with "PLACE: " before the text. */
status_t place_fail(config_place_t place, int line, int column, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Exactly one document. One without content is an error in a file, an empty scalar in a --set. */
status_t config_node_parse(const char *text, size_t bytes, config_place_t place,
                           config_node_t *root_out) MUST_CHECK;
void config_node_free(config_node_t *node);

#endif
