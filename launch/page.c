#include "launch/page.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { PROSE_COLUMNS = 100, LEAST_COLUMNS = 20 };

page_t page_of(FILE *stream) {
    page_t page = {.stream = stream, .terminal = terminal_of(stream), .columns = PROSE_COLUMNS};
    if (page.terminal.columns > 0) {
        page.columns = (int)max_i64(min_i64(page.terminal.columns, PROSE_COLUMNS), LEAST_COLUMNS);
    }
    return page;
}

int page_width(const char *text) {
    int width = 0;
    for (const char *at = text; *at != '\0'; at++) {
        width += ((unsigned char)*at & 0xc0) != 0x80;
    }
    return width;
}

void page_heading(const page_t *page, const char *text) {
    fprintf(page->stream, "%s%s%s\n", paint(&page->terminal, PAINT_BOLD), text,
            paint(&page->terminal, PAINT_NONE));
}

static int word_width(const char *word, size_t length) {
    int width = 0;
    for (size_t i = 0; i < length; i++) {
        width += ((unsigned char)word[i] & 0xc0) != 0x80;
    }
    return width;
}

void page_wrap(const page_t *page, int at, int indent, const char *text) {
    bool begins = true; /* of a line: no space before the word */
    for (const char *word = text; *word != '\0';) {
        if (*word == '\n') {
            fprintf(page->stream, "\n%*s", indent, "");
            at = indent;
            begins = true;
            word++;
            continue;
        }
        if (*word == ' ') {
            word++;
            continue;
        }
        size_t length = strcspn(word, " \n");
        int width = word_width(word, length);
        if (!begins && at + 1 + width > page->columns - 1) {
            fprintf(page->stream, "\n%*s", indent, "");
            at = indent;
            begins = true;
        }
        fputs(begins ? "" : " ", page->stream);
        for (size_t i = 0; i < length; i++) {
            fputc(word[i] == PAGE_HARD_SPACE ? ' ' : word[i], page->stream);
        }
        at += width + !begins;
        begins = false;
        word += length;
    }
    fputc('\n', page->stream);
}

/* On a narrow terminal texts stand below their names. */
void page_item(const page_t *page, int indent, const char *name, paint_t color, const char *text) {
    int used = 2 + page_width(name);
    fprintf(page->stream, "  %s%s%s", paint(&page->terminal, color), name,
            color != PAINT_NONE ? paint(&page->terminal, PAINT_NONE) : "");
    bool narrow = page->columns < indent + 30;
    if (text[0] == '\0') {
        fputc('\n', page->stream);
        return;
    }
    if (narrow || used + 2 > indent) {
        indent = narrow ? 6 : indent;
        fprintf(page->stream, "\n%*s", indent, "");
    } else {
        fprintf(page->stream, "%*s", indent - used, "");
    }
    page_wrap(page, indent, indent, text);
}

void page_fact(const page_t *page, int indent, const char *name, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    page_item(page, indent, name, PAINT_BOLD, text);
}

void page_say(const page_t *page, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    page_wrap(page, 0, 0, text);
}
