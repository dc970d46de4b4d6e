/* config_suggest.c - "did you mean": the keys nearest to one that does not exist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

enum { WORD_MAX = 96, NEAREST_MAX = 3, SCORE_NONE = 1000 };

/* Damerau-Levenshtein distance (optimal string alignment). */
int text_distance(const char *a, const char *b) {
    int rows = (int)strlen(a), columns = (int)strlen(b);
    int *cells = alloc_zero((int64_t)(rows + 1) * (columns + 1), sizeof *cells);
#define CELL(i, j) cells[(i) * (columns + 1) + (j)]
    for (int i = 0; i <= rows; i++) {
        for (int j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                CELL(i, j) = i + j;
                continue;
            }
            int best = CELL(i - 1, j - 1) + (a[i - 1] != b[j - 1]);
            best = (int)min_i64(best, min_i64(CELL(i - 1, j), CELL(i, j - 1)) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = (int)min_i64(best, CELL(i - 2, j - 2) + 1);
            }
            CELL(i, j) = best;
        }
    }
    int distance = CELL(rows, columns);
#undef CELL
    free(cells);
    return distance;
}

static const char *last_part(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

/* "lr" for "learning_rate". */
static bool is_initials(const char *text, const char *word) {
    size_t used = 0;
    for (const char *next = word; next != NULL; next = strchr(next, '_')) {
        next += *next == '_';
        if (text[used] != *next) {
            return false;
        }
        used++;
    }
    return used >= 2 && text[used] == '\0';
}

/* One holds the other as one of its underscored parts: batch_size and batch. */
static bool shares_word(const char *longer, const char *word) {
    size_t length = strlen(word);
    if (length < 3) {
        return false;
    }
    for (const char *found = strstr(longer, word); found != NULL; found = strstr(found + 1, word)) {
        bool begins = found == longer || found[-1] == '_';
        bool ends = found[length] == '\0' || found[length] == '_';
        if (begins && ends) {
            return true;
        }
    }
    return false;
}

/* Lower is nearer; whole keys win over last parts at the same distance. */
static int score(const char *typed, const char *candidate) {
    int best = SCORE_NONE;
    int whole = text_distance(typed, candidate);
    if (whole <= 1 + (int)strlen(typed) / 5) {
        best = 2 * whole;
    }
    const char *a = last_part(typed), *b = last_part(candidate);
    int part = text_distance(a, b);
    if (part <= (int)(strlen(a) + 1) / 4) {
        best = (int)min_i64(best, 2 * part + 1);
    }
    if (is_initials(a, b) || shares_word(a, b) || shares_word(b, a)) {
        best = (int)min_i64(best, 4);
    }
    return best;
}

typedef struct nearest {
    int score;
    int count;
    char keys[NEAREST_MAX][WORD_MAX];
} nearest_t;

static void offer(nearest_t *nearest, const char *typed, const char *candidate) {
    int value = score(typed, candidate);
    if (value > nearest->score || value == SCORE_NONE) {
        return;
    }
    if (value < nearest->score) {
        nearest->score = value;
        nearest->count = 0;
    }
    for (int i = 0; i < nearest->count; i++) {
        if (strcmp(nearest->keys[i], candidate) == 0) {
            return;
        }
    }
    if (nearest->count < NEAREST_MAX) {
        snprintf(nearest->keys[nearest->count++], WORD_MAX, "%s", candidate);
    }
}

static void offer_entry_keys(nearest_t *nearest, const char *typed, table_id_t id) {
    const config_table_t *table = config_table(id);
    const char *first = strchr(typed, '.');
    const char *second = first == NULL ? NULL : strchr(first + 1, '.');
    for (int i = 0; i < table->row_count; i++) {
        char name[WORD_MAX] = "NAME";
        if (second != NULL) {
            snprintf(name, sizeof name, "%.*s", (int)(second - first - 1), first + 1);
        }
        char *candidate = config_entry_key(id, name, &table->rows[i]);
        offer(nearest, typed, candidate);
        free(candidate);
    }
    offer(nearest, typed, table->prefix);
}

char *config_suggestion(const char *key) {
    nearest_t nearest = {.score = SCORE_NONE};
    if (strlen(key) >= WORD_MAX) {
        return text_copy("");
    }
    const config_table_t *table = config_table(TABLE_MAIN);
    for (int i = 0; i < table->row_count; i++) {
        const char *row_key = table->rows[i].key;
        offer(&nearest, key, row_key);
        const char *dot = strchr(row_key, '.');
        if (dot != NULL) {
            char section[WORD_MAX];
            snprintf(section, sizeof section, "%.*s", (int)(dot - row_key), row_key);
            offer(&nearest, key, section);
        }
    }
    offer(&nearest, key, config_base_row()->key);
    offer_entry_keys(&nearest, key, TABLE_MODALITY);
    offer_entry_keys(&nearest, key, TABLE_TARGET);
    offer_entry_keys(&nearest, key, TABLE_INIT);
    if (nearest.count == 0) {
        return text_copy("");
    }
    char list[NEAREST_MAX * WORD_MAX] = "";
    for (int i = 0; i < nearest.count; i++) {
        size_t used = strlen(list);
        const char *between = i == 0 ? "" : i + 1 < nearest.count ? ", " : " or ";
        snprintf(list + used, sizeof list - used, "%s%s", between, nearest.keys[i]);
    }
    return text_format("; did you mean %s?", list);
}
