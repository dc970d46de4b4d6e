/* config_read.c - from trees of YAML to settings: keys, bases, --set, in order of precedence. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"
#include "configs/config_fields.h"
#include "configs/config_node.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { BASE_DEPTH_MAX = 8, FILE_BYTES_MAX = 1 << 20, NAME_LENGTH_MAX = 63 };

typedef struct reader {
    config_t *config;
    config_origins_t origins;
    char *chain[BASE_DEPTH_MAX]; /* real paths of the files being read, outermost first */
    int chain_count;
} reader_t;

/* One file or one --set while it is applied. */
typedef struct document {
    reader_t *reader;
    config_place_t place;
    const char *path;      /* NULL: text in memory */
    config_origins_t seen; /* keys of this document */
} document_t;

static status_t apply_map(document_t *document, const config_node_t *map, const char *prefix);
static status_t apply_file(reader_t *reader, const char *path);

static bool is_plain(const config_node_t *node, const char *text) {
    return node->kind == NODE_SCALAR && !node->quoted && strcmp(node->text, text) == 0;
}
static bool is_null(const config_node_t *node) {
    return is_plain(node, "null") || is_plain(node, "~");
}

static void note(document_t *document, const char *key, const config_node_t *at) {
    if (document->place.is_set) {
        origins_set(&document->reader->origins, key, document->place.name);
        return;
    }
    char *place = text_format("%s:%d:%d", document->place.name, at->line, at->column);
    origins_set(&document->reader->origins, key, place);
    free(place);
}

#define FAIL(at, ...) place_fail(document->place, (at)->line, (at)->column, __VA_ARGS__)

static status_t fail_unknown(document_t *document, const config_node_t *at, const char *key) {
    char buffer[SHOWN_BYTES];
    const char *dot = strrchr(key, '.');
    if (strcmp(dot == NULL ? key : dot + 1, "<<") == 0) {
        return FAIL(at, "merge keys (<<) are not supported; share settings by base:");
    }
    char *suggestion = config_suggestion(key);
    status_t status = FAIL(at, "unknown key '%s'%s", shown(key, buffer),
                           suggestion[0] != '\0' ? suggestion : "; 'jmt config' lists every key");
    free(suggestion);
    return status;
}

/* The items of a list of names or of numbers, with spaces between. */
static status_t join_names(document_t *document, const char *key, const config_node_t *list,
                           bool numbers, char **text_out) {
    char *text = text_copy("");
    for (int i = 0; i < list->child_count; i++) {
        const config_node_t *item = &list->children[i];
        if (item->kind != NODE_SCALAR || is_null(item) || item->text[0] == '\0' ||
            strpbrk(item->text, " \n") != NULL) {
            free(text);
            return FAIL(item, "%s takes a list of %s; write it like %s", key,
                        numbers ? "numbers" : "names", numbers ? "[1, 2.5]" : "[text, audio]");
        }
        char *longer = text_format("%s%s%s", text, i == 0 ? "" : " ", item->text);
        free(text);
        text = longer;
    }
    *text_out = text;
    return STATUS_OK;
}

static status_t apply_field(document_t *document, const char *key, const config_field_t *row,
                            void *base, const config_node_t *value) {
    status_t status = STATUS_OK;
    if (value->kind == NODE_LIST && (row->type == FIELD_NAMES || row->type == FIELD_NUMBERS)) {
        char *names = NULL;
        TRY(join_names(document, key, value, row->type == FIELD_NUMBERS, &names));
        status = field_parse(row, base, names, false);
        free(names);
    } else if (value->kind != NODE_SCALAR) {
        return FAIL(value, "%s takes one value, not a %s; write it like '%s: %s'", key,
                    value->kind == NODE_LIST ? "list" : "mapping", key,
                    row->initial[0] == '\0' ? "\"\"" : row->initial);
    } else if (is_null(value)) {
        return FAIL(value, "%s cannot be null; leave the key out to keep its default", key);
    } else if (is_plain(value, "") && !document->place.is_set) {
        return FAIL(value, "%s has no value; write one, or leave the key out", key);
    } else {
        status = field_parse(row, base, value->text, value->quoted);
    }
    if (status != STATUS_OK) {
        return FAIL(value, "%s: %s", key, status_text());
    }
    note(document, key, value);
    return STATUS_OK;
}

static status_t check_name(document_t *document, table_id_t id, const config_node_t *at,
                           const char *name) {
    size_t length = strlen(name);
    bool good = isalpha((unsigned char)name[0]) && length <= NAME_LENGTH_MAX;
    for (size_t i = 0; i < length; i++) {
        good = good && (isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '-');
    }
    if (!good) {
        char buffer[SHOWN_BYTES];
        return FAIL(at,
                    "'%s' cannot name one of the %s; use letters, digits, _ and -, a letter first, "
                    "at most %d",
                    shown(name, buffer), config_table(id)->prefix, NAME_LENGTH_MAX);
    }
    return STATUS_OK;
}

static status_t ensure_entry(document_t *document, table_id_t id, const char *name,
                             const config_node_t *at, int *index_out) {
    config_t *config = document->reader->config;
    int index = config_entry_find(config, id, name);
    if (index < 0) {
        TRY(check_name(document, id, at, name));
        index = config_entry_add(config, id, name);
        if (index < 0) {
            return FAIL(at, "more than %d %s; remove '%s' or another", config_entry_limit(id),
                        config_table(id)->prefix, name);
        }
        char *key = text_format("%s.%s", config_table(id)->prefix, name);
        note(document, key, at);
        free(key);
    }
    *index_out = index;
    return STATUS_OK;
}

static status_t remove_entry(document_t *document, table_id_t id, const char *key, const char *name,
                             const config_node_t *at) {
    config_t *config = document->reader->config;
    int index = config_entry_find(config, id, name);
    if (index < 0) {
        char buffer[SHOWN_BYTES];
        return FAIL(at,
                    "null removes '%s', but no base gives it; remove the line, or write {} for "
                    "an entry with defaults",
                    shown(key, buffer));
    }
    config_entry_remove(config, id, index);
    origins_drop(&document->reader->origins, key);
    return STATUS_OK;
}

/* key is modalities.NAME or modalities.NAME.FIELD, or the same of targets. */
static status_t apply_entry(document_t *document, table_id_t id, const char *key,
                            const config_node_t *at, const config_node_t *value) {
    char name[NAME_LENGTH_MAX + 2];
    const char *rest = key + strlen(config_table(id)->prefix) + 1;
    const char *dot = strchr(rest, '.');
    size_t length = dot == NULL ? strlen(rest) : (size_t)(dot - rest);
    snprintf(name, sizeof name, "%.*s", (int)min_i64((int64_t)length, NAME_LENGTH_MAX + 1), rest);
    int index = -1;
    if (dot != NULL) {
        const config_field_t *row = config_field_find(id, dot + 1);
        if (row == NULL) {
            return fail_unknown(document, at, key);
        }
        TRY(ensure_entry(document, id, name, at, &index));
        return apply_field(document, key, row, config_entry(document->reader->config, id, index),
                           value);
    }
    if (is_null(value)) {
        return remove_entry(document, id, key, name, at);
    }
    TRY(check_name(document, id, at, name));
    if (value->kind != NODE_MAP) {
        return FAIL(value,
                    "%s takes a mapping; write {%s: %s}, {} for defaults, or null to remove it",
                    key, config_table(id)->rows[0].key, config_table(id)->rows[0].initial);
    }
    TRY(ensure_entry(document, id, name, at, &index));
    return apply_map(document, value, key);
}

/* key is init.NAME, which takes a value itself; an empty one: none. */
static status_t apply_init(document_t *document, const char *key, const config_node_t *at,
                           const config_node_t *value) {
    const char *name = key + strlen(config_table(TABLE_INIT)->prefix) + 1;
    config_t *config = document->reader->config;
    int index = -1;
    if (is_null(value)) {
        return remove_entry(document, TABLE_INIT, key, name, at);
    }
    TRY(ensure_entry(document, TABLE_INIT, name, at, &index));
    TRY(apply_field(document, key, config_table(TABLE_INIT)->rows,
                    config_entry(config, TABLE_INIT, index), value));
    if (config->init[index].file[0] == '\0') {
        config_entry_remove(config, TABLE_INIT, index);
    }
    return STATUS_OK;
}

static status_t apply_pair(document_t *document, const char *key, const config_node_t *at,
                           const config_node_t *value) {
    const config_field_t *row = config_field_find(TABLE_MAIN, key);
    if (row != NULL) {
        return apply_field(document, key, row, document->reader->config, value);
    }
    if (strcmp(key, config_base_row()->key) == 0) {
        if (document->path != NULL) {
            return STATUS_OK; /* read before everything else in its file */
        }
        return FAIL(at, "base stands only in a config file; give that file instead");
    }
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT; id++) {
        const char *prefix = config_table(id)->prefix;
        size_t length = strlen(prefix);
        if (strncmp(key, prefix, length) == 0 && key[length] == '.') {
            return id == TABLE_INIT ? apply_init(document, key, at, value)
                                    : apply_entry(document, id, key, at, value);
        }
    }
    if (!config_is_entries(key) && !config_section_exists(key)) {
        return fail_unknown(document, at, key);
    }
    if (value->kind != NODE_MAP) {
        return FAIL(value, "%s takes a mapping of settings; write its keys below it, indented",
                    key);
    }
    return apply_map(document, value, key);
}

static status_t apply_map(document_t *document, const config_node_t *map, const char *prefix) {
    for (int i = 0; i + 1 < map->child_count; i += 2) {
        const config_node_t *at = &map->children[i];
        char *key = text_format("%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", at->text);
        const char *first = origins_find(&document->seen, key);
        status_t status = STATUS_OK;
        if (first != NULL) {
            char buffer[SHOWN_BYTES];
            status = FAIL(at, "duplicate key '%s', first given at line %s; remove one",
                          shown(key, buffer), first);
        } else {
            char line[16];
            snprintf(line, sizeof line, "%d", at->line);
            origins_set(&document->seen, key, line);
            status = apply_pair(document, key, at, &map->children[i + 1]);
        }
        free(key);
        TRY(status);
    }
    return STATUS_OK;
}

/* The path of a base, relative to the file that names it; caller frees. */
static char *base_path(const char *including, const char *base) {
    const char *slash = strrchr(including, '/');
    if (base[0] == '/' || slash == NULL) {
        return text_copy(base);
    }
    return text_format("%.*s/%s", (int)(slash - including), including, base);
}

static status_t apply_base(document_t *document, const config_node_t *value) {
    reader_t *reader = document->reader;
    if (value->kind != NODE_SCALAR || value->text[0] == '\0' || is_null(value)) {
        return FAIL(value, "base takes the path of one file, relative to this one");
    }
    char buffer[SHOWN_BYTES];
    shown(value->text, buffer);
    char *path = base_path(document->path, value->text);
    char *real = realpath(path, NULL);
    status_t status = STATUS_OK;
    if (real == NULL || !file_exists(path) || dir_exists(path)) {
        status = FAIL(value,
                      "base '%s' is no file (looked for %s); a base is relative to the file "
                      "that names it",
                      buffer, path);
    }
    for (int i = 0; status == STATUS_OK && i < reader->chain_count; i++) {
        if (strcmp(reader->chain[i], real) == 0) {
            status = FAIL(value, "base '%s' leads back to itself; remove one base: of the circle",
                          buffer);
        }
    }
    if (status == STATUS_OK && reader->chain_count == BASE_DEPTH_MAX) {
        status = FAIL(value, "more than %d files by base: in a row; join some", BASE_DEPTH_MAX - 1);
    }
    if (status == STATUS_OK) {
        status = apply_file(reader, path);
    }
    free(real);
    free(path);
    return status;
}

static status_t apply_document(document_t *document, const char *text, size_t bytes) {
    config_node_t root = {0};
    TRY(config_node_parse(text, bytes, document->place, &root));
    status_t status = STATUS_OK;
    if (root.kind != NODE_MAP) {
        status = FAIL(&root, "a config is a mapping; write settings as 'key: value' lines");
    }
    for (int i = 0; status == STATUS_OK && i < root.child_count && document->path != NULL; i += 2) {
        if (strcmp(root.children[i].text, config_base_row()->key) == 0) {
            status = apply_base(document, &root.children[i + 1]);
            break;
        }
    }
    if (status == STATUS_OK) {
        status = apply_map(document, &root, "");
    }
    origins_free(&document->seen);
    config_node_free(&root);
    return status;
}

static status_t apply_file(reader_t *reader, const char *path) {
    char *real = realpath(path, NULL);
    if (real == NULL) {
        return status_fail(STATUS_INPUT,
                           "%s: no such config file; name one such as configs/tiny/jmt.yaml", path);
    }
    char *text = NULL;
    size_t bytes = 0;
    status_t status = file_read(path, &text, &bytes);
    if (status != STATUS_OK) {
        free(real);
        return status_fail(STATUS_INPUT, "%s: %s; name a readable YAML file", path, status_text());
    }
    if (bytes > FILE_BYTES_MAX) {
        status = status_fail(STATUS_INPUT, "%s: larger than 1 MiB; name a config, not data", path);
    } else {
        document_t document = {.reader = reader, .place = {path, false}, .path = path};
        reader->chain[reader->chain_count++] = real;
        status = apply_document(&document, text, bytes);
        reader->chain_count--;
    }
    free(text);
    free(real);
    return status;
}

static status_t apply_set(reader_t *reader, const char *set) {
    char buffer[SHOWN_BYTES];
    const char *equals = strchr(set, '=');
    if (equals == NULL || equals == set) {
        return status_fail(STATUS_INPUT,
                           "--set %s: no KEY=VALUE; write it like --set optimizer.name=sgd",
                           shown(set, buffer));
    }
    char *name = text_format("--set %s", shown(set, buffer));
    char *key = text_format("%.*s", (int)(equals - set), set);
    document_t document = {.reader = reader, .place = {name, true}};
    config_node_t value = {0};
    status_t status = config_node_parse(equals + 1, strlen(equals + 1), document.place, &value);
    if (status == STATUS_OK) {
        status = apply_pair(&document, key, &value, &value);
    }
    origins_free(&document.seen);
    config_node_free(&value);
    free(key);
    free(name);
    return status;
}

static status_t finish(reader_t *reader, status_t status, const char *name, const char *const *sets,
                       int set_count, config_t **config_out) {
    for (int i = 0; status == STATUS_OK && i < set_count; i++) {
        status = apply_set(reader, sets[i]);
    }
    if (status == STATUS_OK) {
        status = config_check(reader->config, &reader->origins, name);
    }
    origins_free(&reader->origins);
    if (status != STATUS_OK) {
        config_free(reader->config);
        return status;
    }
    *config_out = reader->config;
    return STATUS_OK;
}

status_t config_load(const char *path, const char *const *sets, int set_count,
                     config_t **config_out) {
    reader_t reader = {.config = config_defaults()};
    status_t status = path == NULL ? STATUS_OK : apply_file(&reader, path);
    return finish(&reader, status, path, sets, set_count, config_out);
}

static status_t parse(const char *text, const char *name, const char *const *sets, int set_count,
                      bool stored, config_t **config_out) {
    reader_t reader = {.config = config_defaults(), .origins = {.stored = stored}};
    document_t document = {.reader = &reader, .place = {name, false}};
    status_t status = apply_document(&document, text, strlen(text));
    return finish(&reader, status, name, sets, set_count, config_out);
}

status_t config_parse(const char *text, const char *name, const char *const *sets, int set_count,
                      config_t **config_out) {
    return parse(text, name, sets, set_count, false, config_out);
}

status_t config_parse_stored(const char *text, const char *name, const char *const *sets,
                             int set_count, config_t **config_out) {
    return parse(text, name, sets, set_count, true, config_out);
}
