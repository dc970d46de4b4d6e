/* config_fields.h - the one table of settings; private to configs/. Reading, checking, printing and
 * help all walk these rows, so a row is all that a new setting needs. */
#ifndef JMT_CONFIG_FIELDS_H
#define JMT_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "configs/config.h"

typedef enum {
    FIELD_INT,
    FIELD_REAL,
    FIELD_BOOL,
    FIELD_CHOICE,
    FIELD_TEXT,
    FIELD_NAMES,  /* list of names, kept as one text with spaces between */
    FIELD_NUMBERS /* one of the choices, or numbers, kept as one text with spaces between */
} field_type_t;

typedef struct config_field {
    /* Dotted; within modalities.NAME and targets.NAME: the last part only; of init.NAME: "" */
    const char *key;
    field_type_t type;
    size_t offset;
    const char *initial; /* default, as one would write it */
    double min, max;     /* FIELD_INT, FIELD_REAL and FIELD_NUMBERS, both allowed */
    const char *choices; /* FIELD_CHOICE and FIELD_NUMBERS: names with spaces between */
    const char *later;   /* choices known but not in this build */
    const char *unit;
    const char *help;
    unsigned may_differ; /* of config_occasion_t; 0: it makes the model */
} config_field_t;

typedef struct config_table {
    const char *prefix; /* "" | "modalities" | "targets" | "init" */
    const config_field_t *rows;
    int row_count;
} config_table_t;

/* The settings that stand once; those of each modality; of each target; the files of init. */
typedef enum { TABLE_MAIN, TABLE_MODALITY, TABLE_TARGET, TABLE_INIT, TABLE_COUNT } table_id_t;
const config_table_t *config_table(table_id_t id);

/* The key "base", which is read by the YAML reader and has no place in the struct. */
const config_field_t *config_base_row(void);

const config_field_t *config_field_find(table_id_t id, const char *key); /* NULL: none */
bool config_section_exists(const char *key); /* "model" of "model.dim" */

/* Whether `key` is a table of entries: "modalities", "targets" or "init". */
bool config_is_entries(const char *key);
/* The whole key of a row of an entry: "modalities.NAME.dim", "init.NAME"; caller frees. */
char *config_entry_key(table_id_t id, const char *name, const config_field_t *row);

/* Entries of these, by position: the struct that the rows' offsets point into. */
int config_entry_count(const config_t *config, table_id_t id);
void *config_entry(const config_t *config, table_id_t id, int index);
const char *config_entry_name(const config_t *config, table_id_t id, int index);
int config_entry_find(const config_t *config, table_id_t id, const char *name); /* -1: none */
/* -1 when there is no room for one more. */
int config_entry_add(config_t *config, table_id_t id, const char *name);
void config_entry_remove(config_t *config, table_id_t id, int index);
int config_entry_limit(table_id_t id);

config_t *config_defaults(void);

/* ---- config_value.c: one row, one place in memory ---- */

/* base: the struct the offsets count from. On failure the text is "CAUSE; REMEDY" without a key. */
status_t field_parse(const config_field_t *row, void *base, const char *text,
                     bool quoted) MUST_CHECK;
void field_free(const config_field_t *row, void *base);
bool field_is_text(const config_field_t *row); /* its place in memory is a char * */
int64_t field_int(const config_field_t *row, const void *base);
double field_real(const config_field_t *row, const void *base);
bool field_bool(const config_field_t *row, const void *base);
const char *field_text(const config_field_t *row, const void *base);
bool field_is_default(const config_field_t *row, const void *base);
/* Shortest decimal that reads back to the same double; at least 32 bytes. */
enum { REAL_TEXT_BYTES = 32 };
void real_text(double value, char out[REAL_TEXT_BYTES]);

/* Word `index` of a text with spaces between: its start and length; false: no such word. */
bool word_at(const char *words, int index, const char **start_out, int *length_out);
bool words_have(const char *words, const char *word);

/* A value fit for a message: one line, shortened; the result lives in `out`. */
enum { SHOWN_BYTES = 72 };
const char *shown(const char *text, char out[SHOWN_BYTES]);

/* The value as YAML has it; caller frees. (config_print.c) */
char *field_yaml(const config_field_t *row, const void *base);

/* ---- config_suggest.c ---- */

/* "; did you mean A, B or C?" for an unknown dotted key, or "" ; caller frees. */
char *config_suggestion(const char *key);

#endif
