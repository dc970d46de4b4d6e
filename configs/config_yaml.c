/* config_yaml.c - the only code that knows libyaml: text to a tree of scalars, lists and maps.
 *
 * Anchors, aliases and tags are refused: a config has `base:` to share text, and without them a
 * file cannot grow when it is read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "configs/config_fields.h"
#include "configs/config_node.h"
#include "kernels/base/bytes.h"

enum { DEPTH_MAX = 8 };

typedef struct source {
    yaml_parser_t parser;
    const char *text;
    size_t bytes;
    config_place_t place;
} source_t;

status_t place_fail(config_place_t place, int line, int column, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (place.is_set) {
        return status_fail(STATUS_INPUT, "%s: %s", place.name, text);
    }
    return status_fail(STATUS_INPUT, "%s:%d:%d: %s", place.name, line, column, text);
}

void config_node_free(config_node_t *node) {
    for (int i = 0; i < node->child_count; i++) {
        config_node_free(&node->children[i]);
    }
    free(node->children);
    free(node->text);
    *node = (config_node_t){0};
}

/* The reader (bytes that are no text) gives an offset where the scanner gives line and column. */
static void position_of(const source_t *source, size_t offset, int *line_out, int *column_out) {
    int line = 1, column = 1;
    for (size_t i = 0; i < offset && i < source->bytes; i++) {
        unsigned char c = (unsigned char)source->text[i];
        if (c == '\n') {
            line++;
            column = 1;
        } else if ((c & 0xc0) != 0x80) {
            column++;
        }
    }
    *line_out = line;
    *column_out = column;
}

/* Is there a tab at this position, or in the indentation before it? */
static bool tab_at(const source_t *source, int line, int column) {
    int at_line = 1, at_column = 1;
    bool indentation = true;
    for (size_t i = 0; i < source->bytes; i++) {
        char c = source->text[i];
        if (at_line == line && at_column > column) {
            return false;
        }
        if (at_line == line && c == '\t' && (indentation || at_column == column)) {
            return true;
        }
        indentation = c == '\n' || (indentation && c == ' ');
        at_column = c == '\n' ? 1 : at_column + (((unsigned char)c & 0xc0) != 0x80);
        at_line += c == '\n';
    }
    return false;
}

static status_t fail_syntax(const source_t *source) {
    const yaml_parser_t *parser = &source->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "unreadable text";
    if (parser->error == YAML_READER_ERROR) {
        int line = 0, column = 0;
        position_of(source, parser->problem_offset, &line, &column);
        return place_fail(source->place, line, column, "%s; a config is printable UTF-8 text",
                          problem);
    }
    int line = (int)parser->problem_mark.line + 1, column = (int)parser->problem_mark.column + 1;
    if (tab_at(source, line, column)) {
        return place_fail(source->place, line, column,
                          "a tab where YAML allows none; indent with spaces");
    }
    if (parser->context != NULL) {
        return place_fail(source->place, line, column,
                          "%s %s (which began at line %d); correct the YAML", problem,
                          parser->context, (int)parser->context_mark.line + 1);
    }
    return place_fail(source->place, line, column, "%s; correct the YAML", problem);
}

static status_t next_event(source_t *source, yaml_event_t *event) {
    if (!yaml_parser_parse(&source->parser, event)) {
        return fail_syntax(source);
    }
    return STATUS_OK;
}

static status_t refuse_extras(const source_t *source, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        anchor = event->data.alias.anchor;
    } else if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    int line = (int)event->start_mark.line + 1, column = (int)event->start_mark.column + 1;
    char buffer[SHOWN_BYTES];
    if (anchor != NULL) {
        return place_fail(source->place, line, column,
                          "anchors and aliases ('%s') are not supported; write the value out, "
                          "quote a text that begins with & or *, or share it by base:",
                          shown((const char *)anchor, buffer));
    }
    if (tag != NULL) {
        return place_fail(source->place, line, column,
                          "tags ('%s') are not supported; write the value without it",
                          shown((const char *)tag, buffer));
    }
    return STATUS_OK;
}

static status_t read_scalar(const source_t *source, const yaml_event_t *event,
                            config_node_t *node) {
    const char *value = (const char *)event->data.scalar.value;
    if (strlen(value) != event->data.scalar.length) {
        return place_fail(source->place, node->line, node->column,
                          "a NUL character inside a text; remove it");
    }
    node->kind = NODE_SCALAR;
    node->text = text_copy(value);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return STATUS_OK;
}

/* Takes the event that starts the node and reads to its end. What was read so far stays in *node,
 * also on failure, so that the caller frees it. */
static status_t read_node(source_t *source, const yaml_event_t *first, int depth,
                          config_node_t *node) {
    node->line = (int)first->start_mark.line + 1;
    node->column = (int)first->start_mark.column + 1;
    TRY(refuse_extras(source, first));
    if (first->type == YAML_SCALAR_EVENT) {
        return read_scalar(source, first, node);
    }
    node->kind = first->type == YAML_SEQUENCE_START_EVENT ? NODE_LIST : NODE_MAP;
    if (depth >= DEPTH_MAX) {
        return place_fail(source->place, node->line, node->column,
                          "nested more than %d deep; no setting needs that", DEPTH_MAX);
    }
    for (;;) {
        yaml_event_t event;
        TRY(next_event(source, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return STATUS_OK;
        }
        node->children = array_grow(node->children, node->child_count, sizeof *node->children);
        config_node_t *child = &node->children[node->child_count++];
        *child = (config_node_t){0};
        bool is_key = node->kind == NODE_MAP && node->child_count % 2 == 1;
        status_t status = read_node(source, &event, depth + 1, child);
        yaml_event_delete(&event);
        TRY(status);
        if (is_key && child->kind != NODE_SCALAR) {
            return place_fail(source->place, child->line, child->column,
                              "a key that is a list or a mapping; keys are plain names");
        }
    }
}

static status_t read_document(source_t *source, config_node_t *root) {
    yaml_event_t event;
    TRY(next_event(source, &event)); /* stream start */
    yaml_event_delete(&event);
    TRY(next_event(source, &event));
    if (event.type == YAML_STREAM_END_EVENT) {
        yaml_event_delete(&event);
        root->line = root->column = 1;
        root->text = text_copy("");
        if (!source->place.is_set) {
            return place_fail(source->place, 1, 1,
                              "the file has no settings; write one, such as 'seed: 1', or {}");
        }
        return STATUS_OK;
    }
    yaml_event_delete(&event); /* document start */
    TRY(next_event(source, &event));
    status_t status = read_node(source, &event, 0, root);
    yaml_event_delete(&event);
    TRY(status);
    TRY(next_event(source, &event)); /* document end */
    yaml_event_delete(&event);
    TRY(next_event(source, &event));
    bool ended = event.type == YAML_STREAM_END_EVENT;
    int line = (int)event.start_mark.line + 1, column = (int)event.start_mark.column + 1;
    yaml_event_delete(&event);
    if (!ended) {
        return place_fail(source->place, line, column,
                          "a second document; a config is one: remove the '---'");
    }
    return STATUS_OK;
}

status_t config_node_parse(const char *text, size_t bytes, config_place_t place,
                           config_node_t *root_out) {
    source_t source = {.text = text, .bytes = bytes, .place = place};
    REQUIRE(yaml_parser_initialize(&source.parser) && "out of memory");
    yaml_parser_set_input_string(&source.parser, (const unsigned char *)text, bytes);
    yaml_parser_set_encoding(&source.parser, YAML_UTF8_ENCODING);
    config_node_t root = {0};
    status_t status = read_document(&source, &root);
    yaml_parser_delete(&source.parser);
    if (status != STATUS_OK) {
        config_node_free(&root);
        return status;
    }
    *root_out = root;
    return STATUS_OK;
}
