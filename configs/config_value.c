/* config_value.c - one setting: from a YAML scalar to memory and back. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

static void *at(const config_field_t *row, const void *base) { return (char *)base + row->offset; }

int64_t field_int(const config_field_t *row, const void *base) { return *(int64_t *)at(row, base); }
double field_real(const config_field_t *row, const void *base) { return *(double *)at(row, base); }
bool field_bool(const config_field_t *row, const void *base) { return *(bool *)at(row, base); }
const char *field_text(const config_field_t *row, const void *base) {
    return *(char **)at(row, base);
}

bool field_is_default(const config_field_t *row, const void *base) {
    if (row->type == FIELD_BOOL) {
        return field_bool(row, base) == (strcmp(row->initial, "true") == 0);
    }
    if (row->type == FIELD_INT) {
        return field_int(row, base) == strtoll(row->initial, NULL, 10);
    }
    if (row->type == FIELD_REAL) {
        return field_real(row, base) == strtod(row->initial, NULL);
    }
    return strcmp(field_text(row, base), row->initial) == 0;
}

const char *shown(const char *text, char out[SHOWN_BYTES]) {
    int length = 0;
    for (; text[length] != '\0' && length < SHOWN_BYTES - 8; length++) {
        unsigned char c = (unsigned char)text[length];
        out[length] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    if (text[length] != '\0') { /* never cut a UTF-8 sequence in half */
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
        memcpy(out + length, "...", 4);
    } else {
        out[length] = '\0';
    }
    return out;
}

void real_text(double value, char out[REAL_TEXT_BYTES]) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, REAL_TEXT_BYTES, "%.*g", digits, value);
        bool exact = strtod(out, NULL) == value;
        bool plain = strchr(out, 'e') == NULL || value < 1e-4 || value >= 1e15; /* not 3e+02 */
        if (exact && plain) {
            return;
        }
    }
}

bool word_at(const char *words, int index, const char **start_out, int *length_out) {
    const char *next = words;
    for (int i = 0;; i++) {
        next += strspn(next, " ");
        int length = (int)strcspn(next, " ");
        if (length == 0) {
            return false;
        }
        if (i == index) {
            *start_out = next;
            *length_out = length;
            return true;
        }
        next += length;
    }
}

bool words_have(const char *words, const char *word) {
    const char *start = NULL;
    int length = 0;
    for (int i = 0; word_at(words, i, &start, &length); i++) {
        if ((int)strlen(word) == length && strncmp(start, word, (size_t)length) == 0) {
            return true;
        }
    }
    return false;
}

/* "32", "-4"; no underscores, no exponent, no leading zero (octal in YAML 1.1). */
static bool looks_int(const char *text) {
    text += *text == '-' || *text == '+';
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && text[digits] == '\0' && (text[0] != '0' || digits == 1);
}

/* "1", "0.5", ".5", "1e-3"; no hex, no infinity, no nan. */
static bool looks_real(const char *text) {
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, "0123456789");
    text += whole;
    size_t part = 0;
    if (*text == '.') {
        part = strspn(++text, "0123456789");
        text += part;
    }
    if (whole + part == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, "0123456789");
        text += exponent;
        return exponent > 0 && *text == '\0';
    }
    return *text == '\0';
}

static status_t fail_bounds(const config_field_t *row, const char *value) {
    char low[REAL_TEXT_BYTES], high[REAL_TEXT_BYTES];
    if (row->type == FIELD_INT) {
        snprintf(low, sizeof low, "%.0f", row->min);
        snprintf(high, sizeof high, "%.0f", row->max);
    } else {
        real_text(row->min, low);
        real_text(row->max, high);
    }
    return status_fail(STATUS_INPUT, "%s is out of bounds; use %s to %s", value, low, high);
}

static status_t parse_int(const config_field_t *row, void *base, const char *text) {
    char buffer[SHOWN_BYTES];
    if (!looks_int(text)) {
        return status_fail(STATUS_INPUT,
                           "'%s' is not an integer; write plain decimal digits such as %s",
                           shown(text, buffer), row->initial);
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno == ERANGE || (double)value < row->min || (double)value > row->max) {
        return fail_bounds(row, shown(text, buffer));
    }
    *(int64_t *)at(row, base) = value;
    return STATUS_OK;
}

static status_t parse_real(const config_field_t *row, void *base, const char *text) {
    char buffer[SHOWN_BYTES];
    if (!looks_real(text)) {
        return status_fail(STATUS_INPUT, "'%s' is not a number; write one such as 0.5 or 1e-3",
                           shown(text, buffer));
    }
    double value = strtod(text, NULL);
    if (!(value >= row->min && value <= row->max)) { /* infinity of 1e999, too */
        return fail_bounds(row, shown(text, buffer));
    }
    *(double *)at(row, base) = value;
    return STATUS_OK;
}

static status_t fail_choice(const config_field_t *row, const char *text) {
    char list[512] = "", buffer[SHOWN_BYTES], near[SHOWN_BYTES] = "";
    const char *start = NULL;
    int length = 0, best = 3;
    for (int i = 0; word_at(row->choices, i, &start, &length); i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.*s", i == 0 ? "" : ", ", length, start);
        char word[SHOWN_BYTES];
        snprintf(word, sizeof word, "%.*s", length, start);
        int distance = strlen(text) < SHOWN_BYTES ? text_distance(text, word) : best;
        if (distance < best && word[0] == text[0]) { /* gpu is not a slip for cpu */
            best = distance;
            memcpy(near, word, sizeof near);
        }
    }
    if (near[0] != '\0') {
        return status_fail(STATUS_INPUT, "'%s' is not a choice; did you mean %s? (choices: %s)",
                           shown(text, buffer), near, list);
    }
    return status_fail(STATUS_INPUT, "'%s' is not a choice; use one of: %s", shown(text, buffer),
                       list);
}

static status_t fail_numbers(const config_field_t *row, const char *text) {
    char buffer[SHOWN_BYTES];
    return status_fail(STATUS_INPUT,
                       "'%s' is neither a number nor a choice; write numbers or one of: %s",
                       shown(text, buffer), row->choices);
}

static void set_text(const config_field_t *row, void *base, const char *text) {
    char *copy = text_copy(text);
    field_free(row, base);
    *(char **)at(row, base) = copy;
}

/* One space between names, none around. */
static void set_names(const config_field_t *row, void *base, const char *text) {
    char *names = alloc_zero((int64_t)strlen(text) + 2, 1);
    const char *start = NULL;
    int length = 0;
    size_t used = 0;
    for (int i = 0; word_at(text, i, &start, &length); i++) {
        if (i > 0) {
            names[used++] = ' ';
        }
        memcpy(names + used, start, (size_t)length);
        used += (size_t)length;
    }
    set_text(row, base, names);
    free(names);
}

/* One of the choices, or numbers: each checked, all written as real_text does. */
static status_t parse_numbers(const config_field_t *row, void *base, const char *text) {
    if (words_have(row->choices, text)) {
        set_text(row, base, text);
        return STATUS_OK;
    }
    char *numbers = text_copy("");
    const char *start = NULL;
    int length = 0;
    for (int i = 0; word_at(text, i, &start, &length); i++) {
        char word[SHOWN_BYTES], buffer[REAL_TEXT_BYTES];
        snprintf(word, sizeof word, "%.*s", length, start);
        double value = looks_real(word) ? strtod(word, NULL) : (double)NAN;
        if (!(value >= row->min && value <= row->max)) {
            free(numbers);
            return isnan(value) ? fail_numbers(row, word) : fail_bounds(row, word);
        }
        real_text(value, buffer);
        char *longer = text_format("%s%s%s", numbers, i == 0 ? "" : " ", buffer);
        free(numbers);
        numbers = longer;
    }
    bool empty = numbers[0] == '\0';
    if (!empty) {
        set_text(row, base, numbers);
    }
    free(numbers);
    return empty ? fail_numbers(row, "") : STATUS_OK;
}

bool field_is_text(const config_field_t *row) {
    return row->type == FIELD_TEXT || row->type == FIELD_CHOICE || row->type == FIELD_NAMES ||
           row->type == FIELD_NUMBERS;
}

status_t field_parse(const config_field_t *row, void *base, const char *text, bool quoted) {
    bool textual = field_is_text(row) && row->type != FIELD_NUMBERS;
    char buffer[SHOWN_BYTES];
    if (quoted && !textual) {
        return status_fail(STATUS_INPUT, "the quoted text '%s' is not %s; write it without quotes",
                           shown(text, buffer), row->type == FIELD_BOOL ? "a boolean" : "a number");
    }
    switch (row->type) {
    case FIELD_INT:
        return parse_int(row, base, text);
    case FIELD_REAL:
        return parse_real(row, base, text);
    case FIELD_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return status_fail(STATUS_INPUT, "'%s' is not a boolean; write true or false",
                               shown(text, buffer));
        }
        *(bool *)at(row, base) = text[0] == 't';
        return STATUS_OK;
    case FIELD_CHOICE:
        if (!words_have(row->choices, text) && !words_have(row->later, text)) {
            return fail_choice(row, text);
        }
        set_text(row, base, text);
        return STATUS_OK;
    case FIELD_TEXT:
        set_text(row, base, text);
        return STATUS_OK;
    case FIELD_NAMES:
        set_names(row, base, text);
        return STATUS_OK;
    case FIELD_NUMBERS:
        return parse_numbers(row, base, text);
    }
    return STATUS_OK;
}

void field_free(const config_field_t *row, void *base) {
    if (field_is_text(row)) {
        free(*(char **)at(row, base));
        *(char **)at(row, base) = NULL;
    }
}
