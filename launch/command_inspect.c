#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/inspect.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/command.h"
#include "launch/page_table.h"
#include "trainer/checkpoint.h"
#include "trainer/progress_bar.h"

static const option_t options[] = {
    {"--verify", NULL, "checkpoint: exit 0 intact, 1 damaged"},
    {"--hash", NULL, "checkpoint: SHA-256 over all tensors, 64 hex digits alone"},
    OPTION_JSON,
    OPTION_END,
};

static json_t *checkpoint_object(checkpoint_t *c) {
    char hash[SHA256_TEXT_BYTES];
    tensor_set_hash(&c->tensors, hash);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "step",
                     (json_int_t)c->progress.step, "epoch", (json_int_t)c->progress.epoch, "seed",
                     (json_int_t)c->seed, "virtual_shards", (json_int_t)c->virtual_shards,
                     "parameters", (json_int_t)c->parameters, "fingerprint", c->fingerprint, "data",
                     c->data_identity, "hash", hash);
}

static void print_json(const json_t *object) {
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    printf("%s\n", text);
    free(text);
}

/* --- for people ------------------------------------------------------------------------------ */

enum { FACT_INDENT = 16, CELL_BYTES = 32 };

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void count_text(const json_t *object, const char *key, char text[CELL_BYTES]) {
    const json_t *value = json_object_get(object, key);
    snprintf(text, CELL_BYTES, "%lld", (long long)json_integer_value(value));
    if (!json_is_integer(value)) {
        snprintf(text, CELL_BYTES, "-");
    }
}

static void print_texts(const page_t *page, const json_t *object, const char *const *keys) {
    for (; *keys != NULL; keys++) {
        const char *text = json_string_value(json_object_get(object, *keys));
        if (text != NULL && text[0] != '\0') {
            page_item(page, FACT_INDENT, *keys, PAINT_BOLD, text);
        }
    }
}

static void print_splits(const page_t *page, const json_t *object) {
    static const page_column_t columns[] = {
        {"split", false, 0}, {"subjects", true, 0}, {"recordings", true, 0}, {"windows", true, 1}};
    page_table_t *table = page_table_open(columns, ARRAY_LEN(columns));
    const char *name;
    json_t *split;
    char subjects[CELL_BYTES], recordings[CELL_BYTES], windows[CELL_BYTES];
    json_object_foreach(json_object_get(object, "splits"), name, split) {
        count_text(split, "subjects", subjects);
        count_text(split, "recordings", recordings);
        count_text(split, "windows", windows);
        page_table_row(table, (const char *const[]){name, subjects, recordings, windows});
    }
    count_text(object, "subjects", subjects);
    count_text(object, "recordings", recordings);
    count_text(object, "windows", windows);
    page_table_rule(table);
    page_table_row(table, (const char *const[]){"whole", subjects, recordings, windows});
    page_table_print(table, page);
    page_table_close(table);
}

static void add_track(page_table_t *table, const char *name, const json_t *track) {
    char dim[CELL_BYTES], steps[CELL_BYTES], rate[CELL_BYTES] = "several", valid[CELL_BYTES] = "-";
    const json_t *hz = json_object_get(track, "rate_hz");
    count_text(track, "dim", dim);
    count_text(track, "steps", steps);
    if (json_is_number(hz)) {
        snprintf(rate, sizeof rate, "%g Hz", json_number_value(hz));
    }
    if (number(track, "steps") > 0.0) {
        snprintf(valid, sizeof valid, "%.1f %%",
                 100.0 * number(track, "valid") / number(track, "steps"));
    }
    page_table_row(table, (const char *const[]){name, dim, rate, steps, valid});
}

static void print_tracks(const page_t *page, const json_t *tracks, const char *what) {
    const page_column_t columns[] = {{what, false, 0},
                                     {"features", true, 1},
                                     {"rate", true, 2},
                                     {"steps", true, 3},
                                     {"valid", true, 0}};
    page_table_t *table = page_table_open(columns, ARRAY_LEN(columns));
    const char *name;
    json_t *track;
    json_object_foreach((json_t *)tracks, name, track) { add_track(table, name, track); }
    printf("\n");
    page_table_print(table, page);
    page_table_close(table);
}

static void print_data(const json_t *object) {
    page_t page = page_of(stdout);
    print_splits(&page, object);
    print_tracks(&page, json_object_get(object, "modalities"), "modality");
    print_tracks(&page, json_object_get(object, "targets"), "target");
    printf("\n");
    if (json_is_integer(json_object_get(object, "windows"))) {
        page_fact(&page, FACT_INDENT, "windows",
                  "of %.0f steps, every %.0f; %.0f without a label are left out; splits are those "
                  "of a configuration that says nothing else",
                  number(object, "window"), number(object, "stride"),
                  number(object, "windows_unlabelled"));
    } else {
        page_fact(&page, FACT_INDENT, "windows", "none: %s",
                  json_string_value(json_object_get(object, "windows_note")));
    }
    print_texts(&page, object,
                (const char *const[]){"importer", "source", "licence", "terms", "identity", NULL});
    page_fact(&page, FACT_INDENT, "format", "version %.0f", number(object, "format_version"));
    if (json_object_size(json_object_get(object, "facts")) > 0) {
        page_fact(&page, FACT_INDENT, "more", "what the importer noted, by --json");
    }
}

static void print_checkpoint(const json_t *object) {
    page_t page = page_of(stdout);
    char parameters[AMOUNT_BYTES];
    amount_text(number(object, "parameters"), parameters);
    page_fact(&page, FACT_INDENT, "step", "%.0f", number(object, "step"));
    page_fact(&page, FACT_INDENT, "epochs done", "%.0f", number(object, "epoch"));
    page_fact(&page, FACT_INDENT, "seed", "%.0f", number(object, "seed"));
    page_fact(&page, FACT_INDENT, "parameters", "%s (%.0f)", parameters,
              number(object, "parameters"));
    json_t *made = json_loads(json_string_value(json_object_get(object, "fingerprint")), 0, NULL);
    const char *key;
    json_t *value;
    json_object_foreach(made, key, value) {
        const char *name = strcmp(key, "virtual_shards") == 0 ? "shards" : key;
        if (json_is_string(value)) {
            page_fact(&page, FACT_INDENT, name, "%s", json_string_value(value));
        } else {
            page_fact(&page, FACT_INDENT, name, "%.0f", json_number_value(value));
        }
    }
    json_decref(made);
    print_texts(&page, object, (const char *const[]){"data", "hash", NULL});
}

static status_t inspect_checkpoint(const arguments_t *arguments) {
    if (arguments_has(arguments, "--hash") && arguments_has(arguments, "--json")) {
        return status_fail(STATUS_INPUT, "--hash prints the digits alone; leave out --json (whose "
                                         "object has the hash too)");
    }
    checkpoint_t checkpoint = {0};
    TRY(checkpoint_read(arguments->positional[0], &checkpoint));
    json_t *object = checkpoint_object(&checkpoint);
    if (arguments_has(arguments, "--hash")) {
        printf("%s\n", json_string_value(json_object_get(object, "hash")));
    } else if (!arguments_has(arguments, "--verify")) {
        (arguments_has(arguments, "--json") ? print_json : print_checkpoint)(object);
    } else {
        printf("intact\n");
    }
    json_decref(object);
    checkpoint_free(&checkpoint);
    return STATUS_OK;
}

static status_t inspect_data(const arguments_t *arguments) {
    dataset_config_t config = inspect_defaults(arguments->positional[0]);
    char *text = NULL;
    TRY(inspect_dataset(&config, &text));
    json_t *object = json_loads(text, 0, NULL);
    free(text);
    (arguments_has(arguments, "--json") ? print_json : print_data)(object);
    json_decref(object);
    return STATUS_OK;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    char *manifest = text_format("%s/dataset.json", arguments->positional[0]);
    bool data = file_exists(manifest);
    free(manifest);
    bool of_checkpoint = arguments_has(arguments, "--verify") || arguments_has(arguments, "--hash");
    return data && !of_checkpoint ? inspect_data(arguments) : inspect_checkpoint(arguments);
}

static const example_t examples[] = {
    {"jmt inspect data/mosi", ""},
    {"jmt inspect runs/one/checkpoints/best-ccc", ""},
    {"jmt inspect runs/one --hash", "to compare two runs"},
    EXAMPLE_END,
};

const command_t command_inspect = {
    .name = "inspect",
    .group = GROUP_DATA,
    .synopsis = "DATADIR|CHECKPOINT [--verify | --hash] [--json]",
    .summary = "show what data or a checkpoint holds, and if it is intact",
    .help =
        "CHECKPOINT is a run directory (its last checkpoint is meant), or one of its checkpoints.",
    .options = options,
    .examples = examples,
    .exit_codes = "0 intact, 1 damaged, 2 there is nothing to inspect.",
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
