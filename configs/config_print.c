/* config_print.c - the settings and the table itself, as YAML, JSON and text. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

/* A text that grows. */
typedef struct writer {
    FILE *stream;
    char *text;
    size_t bytes;
    bool json;
} writer_t;

static void writer_open(writer_t *writer, bool json) {
    writer->json = json;
    writer->stream = open_memstream(&writer->text, &writer->bytes);
    REQUIRE(writer->stream != NULL && "out of memory");
}

static char *writer_close(writer_t *writer) {
    REQUIRE(fclose(writer->stream) == 0 && "out of memory");
    return writer->text;
}

/* The character at *text (UTF-8 as libyaml let it in); *text moves behind it. */
static unsigned next_character(const char **text) {
    const unsigned char *bytes = (const unsigned char *)*text;
    int more = bytes[0] >= 0xf0 ? 3 : bytes[0] >= 0xe0 ? 2 : bytes[0] >= 0xc0 ? 1 : 0;
    unsigned value = more == 0 ? bytes[0] : bytes[0] & (0x3fu >> more);
    int used = 1;
    for (; used <= more && (bytes[used] & 0xc0) == 0x80; used++) {
        value = value << 6 | (bytes[used] & 0x3fu);
    }
    *text += used;
    return value;
}

/* Double quotes as both YAML and JSON read them. Whatever is not plainly printable is escaped: YAML
 * would take some of it for line breaks. */
static void write_quoted(writer_t *writer, const char *text) {
    fputc('"', writer->stream);
    while (*text != '\0') {
        const char *start = text;
        unsigned c = next_character(&text);
        if (c == '"' || c == '\\') {
            fprintf(writer->stream, "\\%c", (int)c);
        } else if ((c >= 0x20 && c < 0x7f) || (c > 0xa0 && c < 0x2000)) {
            fwrite(start, 1, (size_t)(text - start), writer->stream);
        } else if (c < 0x10000) {
            fprintf(writer->stream, "\\u%04x", c);
        } else if (writer->json) {
            fprintf(writer->stream, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + ((c - 0x10000) & 0x3ff));
        } else {
            fprintf(writer->stream, "\\U%08x", c);
        }
    }
    fputc('"', writer->stream);
}

static bool is_plain_text(const char *text) {
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *others = "0123456789_./-";
    bool starts = text[0] == '/' || (text[0] != '\0' && strchr(letters, text[0]) != NULL);
    for (const char *next = text; starts && *next != '\0'; next++) {
        starts = strchr(letters, *next) != NULL || strchr(others, *next) != NULL;
    }
    return starts && strcmp(text, "null") != 0;
}

static void write_text(writer_t *writer, const char *text) {
    if (!writer->json && is_plain_text(text)) {
        fputs(text, writer->stream);
    } else {
        write_quoted(writer, text);
    }
}

/* "[text, audio]" from "text audio". */
static void write_words(writer_t *writer, const char *words) {
    const char *start = NULL;
    int length = 0;
    fputc('[', writer->stream);
    for (int i = 0; word_at(words, i, &start, &length); i++) {
        char *word = text_format("%.*s", length, start);
        fputs(i == 0 ? "" : ", ", writer->stream);
        write_text(writer, word);
        free(word);
    }
    fputc(']', writer->stream);
}

/* A choice as a word, one number as it is, several as a list. */
static void write_numbers(writer_t *writer, const config_field_t *row, const char *text) {
    if (words_have(row->choices, text)) {
        write_text(writer, text);
        return;
    }
    const char *start = NULL;
    int length = 0;
    bool list = strchr(text, ' ') != NULL;
    fputs(list ? "[" : "", writer->stream);
    for (int i = 0; word_at(text, i, &start, &length); i++) {
        fprintf(writer->stream, "%s%.*s", i == 0 ? "" : ", ", length, start);
    }
    fputs(list ? "]" : "", writer->stream);
}

static void write_value(writer_t *writer, const config_field_t *row, const void *base) {
    char number[REAL_TEXT_BYTES];
    switch (row->type) {
    case FIELD_INT:
        fprintf(writer->stream, "%lld", (long long)field_int(row, base));
        break;
    case FIELD_REAL:
        real_text(field_real(row, base), number);
        fputs(number, writer->stream);
        break;
    case FIELD_BOOL:
        fputs(field_bool(row, base) ? "true" : "false", writer->stream);
        break;
    case FIELD_CHOICE:
    case FIELD_TEXT:
        write_text(writer, field_text(row, base));
        break;
    case FIELD_NAMES:
        write_words(writer, field_text(row, base));
        break;
    case FIELD_NUMBERS:
        write_numbers(writer, row, field_text(row, base));
        break;
    }
}

char *field_yaml(const config_field_t *row, const void *base) {
    writer_t writer;
    writer_open(&writer, false);
    write_value(&writer, row, base);
    return writer_close(&writer);
}

static void indent(writer_t *writer, int depth) { fprintf(writer->stream, "%*s", 2 * depth, ""); }

/* `"key": value` or `key: value`; first: the first of its mapping. */
static void write_key(writer_t *writer, int depth, const char *key, int length, bool first) {
    if (writer->json) {
        fputs(first ? "\n" : ",\n", writer->stream);
        indent(writer, depth + 1);
        fprintf(writer->stream, "\"%.*s\": ", length, key);
    } else {
        fputs(first && depth == 0 ? "" : "\n", writer->stream);
        indent(writer, depth);
        fprintf(writer->stream, "%.*s:", length, key);
    }
}

static void write_scalar(writer_t *writer, int depth, const char *key, bool first,
                         const config_field_t *row, const void *base) {
    write_key(writer, depth, key, (int)strlen(key), first);
    fputs(writer->json ? "" : " ", writer->stream);
    write_value(writer, row, base);
}

static void open_map(writer_t *writer) { fputs(writer->json ? "{" : "", writer->stream); }

static void close_map(writer_t *writer, int depth) {
    if (writer->json) {
        fputc('\n', writer->stream);
        indent(writer, depth);
        fputc('}', writer->stream);
    }
}

static void write_entries(writer_t *writer, const config_t *config, table_id_t id) {
    const config_table_t *table = config_table(id);
    int count = config_entry_count(config, id);
    write_key(writer, 0, table->prefix, (int)strlen(table->prefix), false);
    if (count == 0) {
        fputs(writer->json ? "{}" : " {}", writer->stream);
        return;
    }
    open_map(writer);
    for (int i = 0; i < count; i++) {
        const char *name = config_entry_name(config, id, i);
        write_key(writer, 1, name, (int)strlen(name), i == 0);
        open_map(writer);
        for (int r = 0; r < table->row_count; r++) {
            write_scalar(writer, 2, table->rows[r].key, r == 0, &table->rows[r],
                         config_entry(config, id, i));
        }
        close_map(writer, 2);
    }
    close_map(writer, 1);
}

static void write_init(writer_t *writer, const config_t *config) {
    const config_table_t *table = config_table(TABLE_INIT);
    if (config->init_count > 0) {
        write_key(writer, 0, table->prefix, (int)strlen(table->prefix), false);
        open_map(writer);
        for (int i = 0; i < config->init_count; i++) {
            write_scalar(writer, 1, config->init[i].name, i == 0, table->rows, &config->init[i]);
        }
        close_map(writer, 1);
    }
}

static char *write_config(const config_t *config, bool json) {
    writer_t writer;
    writer_open(&writer, json);
    const config_table_t *table = config_table(TABLE_MAIN);
    const char *section = "";
    int section_length = 0;
    open_map(&writer);
    for (int i = 0; i < table->row_count; i++) {
        const char *key = table->rows[i].key;
        const char *dot = strchr(key, '.');
        int length = dot == NULL ? 0 : (int)(dot - key);
        bool opens = length != section_length || strncmp(key, section, (size_t)length) != 0;
        if (opens && section_length > 0) {
            close_map(&writer, 1);
        }
        if (opens && length > 0) {
            write_key(&writer, 0, key, length, i == 0);
            open_map(&writer);
        }
        section = key;
        section_length = length;
        write_scalar(&writer, length > 0 ? 1 : 0, dot == NULL ? key : dot + 1,
                     i == 0 || (opens && length > 0), &table->rows[i], config);
    }
    if (section_length > 0) {
        close_map(&writer, 1);
    }
    write_entries(&writer, config, TABLE_MODALITY);
    write_entries(&writer, config, TABLE_TARGET);
    write_init(&writer, config);
    close_map(&writer, 0);
    fputc('\n', writer.stream);
    return writer_close(&writer);
}

char *config_yaml(const config_t *config) { return write_config(config, false); }
char *config_json(const config_t *config) { return write_config(config, true); }

static const char *type_name(field_type_t type) {
    switch (type) {
    case FIELD_INT:
        return "int";
    case FIELD_REAL:
        return "real";
    case FIELD_BOOL:
        return "bool";
    case FIELD_CHOICE:
        return "choice";
    case FIELD_TEXT:
        return "text";
    case FIELD_NAMES:
        return "names";
    case FIELD_NUMBERS:
        return "numbers";
    }
    return "";
}

static char *full_key(table_id_t id, const config_field_t *row) {
    return id == TABLE_MAIN ? text_copy(row->key) : config_entry_key(id, "NAME", row);
}

static void write_bounds(writer_t *writer, const config_field_t *row) {
    char low[REAL_TEXT_BYTES] = "null", high[REAL_TEXT_BYTES] = "null";
    if (row->type == FIELD_INT) {
        snprintf(low, sizeof low, "%.0f", row->min);
        snprintf(high, sizeof high, "%.0f", row->max);
    } else if (row->type == FIELD_REAL || row->type == FIELD_NUMBERS) {
        real_text(row->min, low);
        real_text(row->max, high);
    }
    fprintf(writer->stream, ", \"min\": %s, \"max\": %s", low, high);
}

/* By bits, in the order of config_occasion_t. */
static void write_occasions(writer_t *writer, unsigned may_differ) {
    static const char *const names[] = {"run", "row", "resume", "evaluation"};
    fputc('[', writer->stream);
    for (int i = 0, count = 0; i < ARRAY_LEN(names); i++) {
        if ((may_differ >> i & 1) != 0) {
            fprintf(writer->stream, "%s\"%s\"", count++ > 0 ? ", " : "", names[i]);
        }
    }
    fputc(']', writer->stream);
}

static void write_row(writer_t *writer, const char *key, const config_field_t *row) {
    fputs("\n  {\"key\": ", writer->stream);
    write_quoted(writer, key);
    fprintf(writer->stream, ", \"type\": \"%s\", \"unit\": ", type_name(row->type));
    write_quoted(writer, row->unit);
    fputs(", \"default\": ", writer->stream);
    if (row->type == FIELD_CHOICE || row->type == FIELD_TEXT) {
        write_quoted(writer, row->initial);
    } else if (row->type == FIELD_NAMES) {
        write_words(writer, row->initial);
    } else if (row->type == FIELD_NUMBERS) {
        write_numbers(writer, row, row->initial);
    } else {
        fputs(row->initial, writer->stream);
    }
    write_bounds(writer, row);
    fputs(", \"choices\": ", writer->stream);
    write_words(writer, row->choices != NULL ? row->choices : "");
    fputs(", \"unavailable\": ", writer->stream);
    write_words(writer, row->type == FIELD_CHOICE ? row->later : "");
    fputs(", \"may_differ\": ", writer->stream);
    write_occasions(writer, row->may_differ);
    fputs(", \"help\": ", writer->stream);
    write_quoted(writer, row->help);
    fputc('}', writer->stream);
}

const char *config_key(int index) {
    const config_table_t *table = config_table(TABLE_MAIN);
    return index < table->row_count ? table->rows[index].key : NULL;
}

char *config_table_json(void) {
    writer_t writer;
    writer_open(&writer, true);
    fputs("[", writer.stream);
    write_row(&writer, config_base_row()->key, config_base_row());
    for (table_id_t id = TABLE_MAIN; id < TABLE_COUNT; id++) {
        const config_table_t *table = config_table(id);
        for (int i = 0; i < table->row_count; i++) {
            fputs(",", writer.stream);
            char *key = full_key(id, &table->rows[i]);
            write_row(&writer, key, &table->rows[i]);
            free(key);
        }
    }
    fputs("\n]\n", writer.stream);
    return writer_close(&writer);
}
