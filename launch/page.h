/* page.h - text laid out for people: words wrapped at the width of the terminal, headings, and
 * tables whose columns fit. In a file lines are as long as they need to be for tables, and 100 wide
 * for prose. */
#ifndef JMT_PAGE_H
#define JMT_PAGE_H

#include <stdint.h>
#include <stdio.h>

#include "kernels/base/status.h"
#include "launch/terminal.h"

typedef struct page {
    FILE *stream;
    terminal_t terminal;
    int columns; /* for prose */
} page_t;

page_t page_of(FILE *stream);

/* In a text for page_wrap: a space at which no line is broken. */
enum { PAGE_HARD_SPACE = '\x1f' };

/* "Heading" in bold on a line of its own. */
void page_heading(const page_t *page, const char *text);
/* `text` from column `at` (where the cursor stands) on; further lines begin at `indent`. Ends the
 * line. "\n" within it begins a new one. */
void page_wrap(const page_t *page, int at, int indent, const char *text);
/* The same from the start of a line, from a format. */
void page_say(const page_t *page, const char *format, ...) PRINTF_LIKE(2, 3);
/* "  NAME    text", the text at column `indent`, below the name if that is too long. */
void page_item(const page_t *page, int indent, const char *name, paint_t paint, const char *text);
/* The same with the text from a format. */
void page_fact(const page_t *page, int indent, const char *name, const char *format, ...)
    PRINTF_LIKE(4, 5);

int page_width(const char *text); /* in columns, of UTF-8 */

#endif
