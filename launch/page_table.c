#include "launch/page_table.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { COLUMNS_MAX = 20, GAP = 2, FIRST_LEAST = 12 };

struct page_table {
    page_column_t columns[COLUMNS_MAX];
    int column_count;
    char *(*rows)[COLUMNS_MAX]; /* a row without a first cell is a rule */
    int row_count;
};

page_table_t *page_table_open(const page_column_t *columns, int column_count) {
    page_table_t *table = alloc_zero(1, sizeof *table);
    REQUIRE(column_count <= COLUMNS_MAX);
    memcpy(table->columns, columns, (size_t)column_count * sizeof *columns);
    table->column_count = column_count;
    return table;
}

void page_table_close(page_table_t *table) {
    for (int r = 0; r < table->row_count; r++) {
        for (int c = 0; c < table->column_count; c++) {
            free(table->rows[r][c]);
        }
    }
    free(table->rows);
    free(table);
}

void page_table_row(page_table_t *table, const char *const *cells) {
    table->rows = array_grow(table->rows, table->row_count, sizeof *table->rows);
    for (int c = 0; c < COLUMNS_MAX; c++) {
        table->rows[table->row_count][c] =
            c < table->column_count && cells != NULL ? text_copy(cells[c]) : NULL;
    }
    table->row_count++;
}

void page_table_rule(page_table_t *table) { page_table_row(table, NULL); }

typedef struct layout {
    int width[COLUMNS_MAX]; /* 0: left out */
    int total;
} layout_t;

static void add_up(const page_table_t *table, layout_t *layout) {
    layout->total = 0;
    for (int c = 0; c < table->column_count; c++) {
        layout->total += layout->width[c] > 0 ? layout->width[c] + (c > 0 ? GAP : 0) : 0;
    }
}

static layout_t lay_out(const page_table_t *table, const page_t *page) {
    layout_t layout = {.total = 0};
    for (int c = 0; c < table->column_count; c++) {
        layout.width[c] = page_width(table->columns[c].title);
        for (int r = 0; r < table->row_count; r++) {
            int width = table->rows[r][0] != NULL ? page_width(table->rows[r][c]) : 0;
            layout.width[c] = (int)max_i64(layout.width[c], width);
        }
    }
    add_up(table, &layout);
    int room = page->terminal.columns > 0 ? page->terminal.columns : 1 << 20;
    while (layout.total > room) {
        int least = 0;
        for (int c = 1; c < table->column_count; c++) {
            bool more = table->columns[c].dispense > table->columns[least].dispense || least == 0;
            if (layout.width[c] > 0 && table->columns[c].dispense > 0 && more) {
                least = c;
            }
        }
        if (least == 0) {
            layout.width[0] = (int)max_i64(FIRST_LEAST, layout.width[0] - (layout.total - room));
            add_up(table, &layout);
            break;
        }
        layout.width[least] = 0;
        add_up(table, &layout);
    }
    return layout;
}

/* A name that is too long keeps its end: that is where names differ. */
static void print_cell(const page_t *page, const char *text, int width, bool right, bool last) {
    int length = page_width(text);
    if (length > width) {
        fprintf(page->stream, "..%s", text + (length - width + 2));
        return;
    }
    if (right) {
        fprintf(page->stream, "%*s%s", width - length, "", text);
    } else {
        fprintf(page->stream, "%s%*s", text, last ? 0 : width - length, "");
    }
}

static void print_row(const page_table_t *table, const page_t *page, const layout_t *layout,
                      int r) {
    int last = 0;
    for (int c = 0; c < table->column_count; c++) {
        last = layout->width[c] > 0 ? c : last;
    }
    for (int c = 0; c <= last; c++) {
        const char *text = r < 0 ? table->columns[c].title : table->rows[r][c];
        if (layout->width[c] > 0) {
            fprintf(page->stream, "%*s", c > 0 ? GAP : 0, "");
            print_cell(page, text, layout->width[c], table->columns[c].right, c == last);
        }
    }
    fputc('\n', page->stream);
}

void page_table_print(const page_table_t *table, const page_t *page) {
    layout_t layout = lay_out(table, page);
    fputs(paint(&page->terminal, PAINT_BOLD), page->stream);
    print_row(table, page, &layout, -1);
    fputs(paint(&page->terminal, PAINT_NONE), page->stream);
    for (int r = 0; r < table->row_count; r++) {
        if (table->rows[r][0] != NULL) {
            print_row(table, page, &layout, r);
            continue;
        }
        for (int i = 0; i < layout.total; i++) {
            fputc('-', page->stream);
        }
        fputc('\n', page->stream);
    }
}
