#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "launch/page_table.h"
#include "trainer/run_table.h"

static const option_t options[] = {
    {"--format", "md|csv|latex|json", "default md; on a terminal a table as wide as that"},
    OPTION_END,
};

/* --- on a terminal --------------------------------------------------------------------------- */

enum { CELL_BYTES = 48, DISPENSE_MARKS = 3, DISPENSE_RUNS = 5, COLUMNS_MAX = TABLE_COLUMNS + 4 };

/* Its columns beside those of the metrics; marks only if some row has any, and always if they alone
 * tell rows apart. */
static int first_columns(const run_table_t *runs, page_column_t columns[COLUMNS_MAX]) {
    bool marked = false, twice = false;
    for (int r = 0; r < run_table_row_count(runs); r++) {
        run_row_t row = run_table_row(runs, r);
        marked |= row.marks[0] != '\0';
        for (int other = 0; other < r; other++) {
            twice |= strcmp(row.label, run_table_row(runs, other).label) == 0;
        }
    }
    columns[0] = (page_column_t){"model", false, 0};
    columns[1] = (page_column_t){"marks", false, twice ? 0 : DISPENSE_MARKS};
    columns[1 + marked] = (page_column_t){"runs", true, DISPENSE_RUNS};
    return 2 + marked;
}

static void cell_of(run_spread_t spread, bool utf8, char cell[CELL_BYTES]) {
    if (spread.count == 0) {
        snprintf(cell, CELL_BYTES, "-");
    } else if (spread.count == 1) {
        snprintf(cell, CELL_BYTES, "%.3f", spread.mean);
    } else {
        snprintf(cell, CELL_BYTES, "%.3f %s %.3f", spread.mean, utf8 ? "\u00b1" : "+-", spread.std);
    }
}

/* A column too few would hide how sure a number is: the interval stands in its cell. */
static void add_interval(run_spread_t spread, char cell[CELL_BYTES]) {
    size_t used = strlen(cell);
    if (spread.count > 0 && !isnan(spread.low)) {
        snprintf(cell + used, CELL_BYTES - used, " [%.3f, %.3f]", spread.low, spread.high);
    }
}

static void add_row(page_table_t *table, const run_table_t *runs, int index, int first, bool utf8) {
    char cells[COLUMNS_MAX][CELL_BYTES];
    run_row_t row = run_table_row(runs, index);
    const char *shown[COLUMNS_MAX] = {row.label, row.marks};
    int count = first;
    snprintf(cells[first - 1], CELL_BYTES, "%d", row.run_count);
    shown[first - 1] = cells[first - 1];
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        if (run_table_has(runs, c)) {
            cell_of(run_table_spread(runs, index, c), utf8, cells[count]);
            add_interval(run_table_spread(runs, index, c), cells[count]);
            shown[count] = cells[count];
            count++;
        }
    }
    shown[count] = run_table_rank(runs, index);
    page_table_row(table, shown);
}

static void print_page(const page_t *page, const run_table_t *runs) {
    page_column_t columns[COLUMNS_MAX];
    int first = first_columns(runs, columns), count = first;
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        if (run_table_has(runs, c)) {
            const run_column_t *column = run_table_column(c);
            columns[count++] = (page_column_t){column->metric, true, column->dispense};
        }
    }
    bool ranked = run_table_has_intervals(runs);
    columns[count] = (page_column_t){"ranking", false, 0};
    page_table_t *table = page_table_open(columns, count + ranked);
    for (int r = 0; r < run_table_row_count(runs); r++) {
        add_row(table, runs, r, first, page->terminal.utf8);
    }
    page_table_print(table, page);
    char *selected = run_table_selected(runs);
    page_say(page, "%s of %s; checkpoints selected on %s. --format md has all columns.",
             run_table_split(runs), run_table_data(runs), selected);
    free(selected);
    if (ranked) {
        page_say(page,
                 "[low, high]: 95 %% over people drawn anew; ranking none: the interval and that "
                 "of the best row overlap.");
    }
    page_table_close(table);
}

/* --- the command ----------------------------------------------------------------------------- */

/* On stderr: a number says little without what is reached by who saw nothing. */
static void say_missing(const run_table_t *table) {
    char *missing = run_table_missing(table);
    fflush(stdout);
    if (missing[0] != '\0') {
        log_info("no control row of: %s", missing);
    }
    free(missing);
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    run_table_t *table = NULL;
    TRY(run_table_open(arguments->positional, arguments->positional_count, &table));
    const char *format = arguments_value(arguments, "--format");
    bool json = format != NULL && strcmp(format, "json") == 0; /* has it among its keys */
    char *text = NULL;
    status_t status = STATUS_OK;
    page_t page = page_of(stdout);
    if (format == NULL && page.terminal.columns > 0) {
        print_page(&page, table);
    } else if (json) {
        text = run_table_json(table);
        printf("%s\n", text);
    } else {
        status = run_table_text(table, format != NULL ? format : "md", &text);
        if (status == STATUS_OK) {
            printf("%s", text);
        }
    }
    free(text);
    if (status == STATUS_OK && !json) {
        say_missing(table);
    }
    run_table_close(table);
    return status;
}

static const example_t examples[] = {
    {"jmt table runs/mosi-*", ""},
    {"jmt table runs/cv-jmt runs/cv-concat --format latex", ""},
    EXAMPLE_END,
};

const command_t command_table = {
    .name = "table",
    .group = GROUP_RESULT,
    .synopsis = "RUN... [--format md|csv|latex|json]",
    .summary = "runs side by side: a row for each model, spread over seeds",
    .help =
        "RUN is a directory of jmt train that holds evaluation.json (jmt evaluate ... --out), or "
        "one of jmt cv (a run is then a seed, pooled over its folds). Runs that differ in more "
        "than "
        "their seed are rows of their own, named by the settings in which they differ. \"selected "
        "on\" says what chose the checkpoint, on held-out training people; n is the number of "
        "labels scored. Of jmt cv, [low, high] is where 95 % of the scores lie over people drawn "
        "anew "
        "with replacement; ranking is none where that overlaps the best row's: the two are not to "
        "be ranked.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = POSITIONALS_MAX,
    .run = run,
};
