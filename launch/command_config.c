#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/file.h"
#include "launch/command.h"
#include "launch/config_template.h"
#include "launch/page.h"
#include "trainer/resume.h"

status_t command_config_of(const arguments_t *arguments, int index, config_t **config_out) {
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    const char *path = index < arguments->positional_count ? arguments->positional[index] : NULL;
    return config_load(path, sets, count, config_out);
}

bool command_is_config(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".yaml") == 0;
}

static const option_t options[] = {
    OPTION_SET,
    {"--against", "FILE", "refuse what differs in its results from that config.yaml of a run"},
    {"--for", "DATADIR", "write configurations to begin with, for that data"},
    {"--out", "FOLDER", "--for: the folder that gets them"},
    OPTION_JSON,
    OPTION_END,
};

/* --- every setting, for people --------------------------------------------------------------- */

enum { KEY_INDENT = 32, HELP_INDENT = 6, WORDS_BYTES = 512 };

/* "jmt, mt or concat" with `or` before the last. */
static void words_text(const json_t *words, char *text, size_t bytes) {
    size_t used = 0, count = json_array_size(words), i;
    json_t *word;
    text[0] = '\0';
    json_array_foreach(words, i, word) {
        snprintf(text + used, bytes - used, "%s%s",
                 i == 0           ? ""
                 : i + 1 == count ? " or "
                                  : ", ",
                 json_string_value(word));
        used = strlen(text);
    }
}

static void value_text(const json_t *value, char *text, size_t bytes) {
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    snprintf(text, bytes, "%s", json_is_string(value) ? json_string_value(value) : dump);
    free(dump);
    if (text[0] == '\0') {
        snprintf(text, bytes, "-");
    }
}

/* What may stand there: "1 to 16384 features", "ref, cpu or cuda". */
static void range_text(const json_t *setting, char *text, size_t bytes) {
    char words[WORDS_BYTES], low[64], high[64];
    const char *unit = json_string_value(json_object_get(setting, "unit"));
    const json_t *min = json_object_get(setting, "min"), *max = json_object_get(setting, "max");
    words_text(json_object_get(setting, "choices"), words, sizeof words);
    value_text(min, low, sizeof low);
    value_text(max, high, sizeof high);
    const char *type = json_string_value(json_object_get(setting, "type"));
    if (!json_is_null(min)) {
        snprintf(text, bytes, "%s to %s%s%s%s%s", low, high, unit[0] != '\0' ? " " : "", unit,
                 words[0] != '\0' ? ", or " : "", words);
    } else {
        snprintf(text, bytes, "%s",
                 words[0] != '\0'            ? words
                 : strcmp(type, "bool") == 0 ? "true or false"
                                             : type);
    }
}

/* A heading before each group of keys: what stands before the first dot. */
static void begin_section(const page_t *page, const char *key, char *section, size_t bytes) {
    char now[32];
    const char *dot = strchr(key, '.');
    snprintf(now, sizeof now, "%.*s", dot != NULL ? (int)(dot - key) : 0, key);
    if (strcmp(now, section) != 0) {
        printf("\n");
        page_heading(page, now);
        snprintf(section, bytes, "%s", now);
    }
}

static void print_settings(const char *json) {
    json_t *settings = json_loads(json, 0, NULL), *setting;
    page_t page = page_of(stdout);
    char section[32] = "", value[128], range[WORDS_BYTES + 192], line[WORDS_BYTES + 384];
    size_t i;
    json_array_foreach(settings, i, setting) {
        const char *key = json_string_value(json_object_get(setting, "key"));
        begin_section(&page, key, section, sizeof section);
        value_text(json_object_get(setting, "default"), value, sizeof value);
        range_text(setting, range, sizeof range);
        snprintf(line, sizeof line, "%s (%s)", value, range);
        page_item(&page, KEY_INDENT, key, PAINT_BOLD, line);
        printf("%*s", HELP_INDENT, "");
        page_wrap(&page, HELP_INDENT, HELP_INDENT,
                  json_string_value(json_object_get(setting, "help")));
    }
    json_decref(settings);
}

static status_t write_template(const arguments_t *arguments) {
    const char *data = arguments_value(arguments, "--for"),
               *out = arguments_value(arguments, "--out");
    if (data == NULL || out == NULL || arguments->positional_count > 0 ||
        arguments_has(arguments, "--set") || arguments_has(arguments, "--json") ||
        arguments_has(arguments, "--against")) {
        return status_fail(STATUS_INPUT, "--for and --out go together and alone; write jmt config "
                                         "--for DATADIR --out FOLDER");
    }
    return config_template_write(data, out);
}

/* Says nothing where all is well. */
static status_t compare(const arguments_t *arguments, const config_t *config) {
    const char *path = arguments_value(arguments, "--against");
    char *stored = NULL;
    TRY(file_read(path, &stored, NULL));
    status_t status = resume_same_results(stored, path, config);
    free(stored);
    return status;
}

/* With a file (or --set): the resolved configuration; without: every key that there is. */
static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    if (arguments_has(arguments, "--for") || arguments_has(arguments, "--out")) {
        return write_template(arguments);
    }
    bool json = arguments_has(arguments, "--json"), against = arguments_has(arguments, "--against");
    char *text = NULL;
    status_t status = STATUS_OK;
    if (arguments->positional_count == 0 && !against && !arguments_has(arguments, "--set")) {
        text = config_table_json();
        if (!json) {
            print_settings(text);
            text[0] = '\0';
        }
    } else {
        config_t *config = NULL;
        TRY(command_config_of(arguments, 0, &config));
        if (against) {
            status = compare(arguments, config);
        } else {
            text = json ? config_json(config) : config_yaml(config);
        }
        config_free(config);
    }
    fputs(text != NULL ? text : "", stdout);
    free(text);
    return status;
}

static const example_t examples[] = {
    {"jmt config | grep -A1 optimizer", ""},
    {"jmt config configs/mosi/jmt.yaml --set epochs=20 > mine.yaml", ""},
    {"jmt config --for data/mine --out configs/mine", "files to begin with, for your own data"},
    EXAMPLE_END,
};

const command_t command_config = {
    .name = "config",
    .group = GROUP_BEFORE,
    .synopsis = "[CONFIG] [--set KEY=VALUE]... [--json|--against FILE]\n--for DATADIR --out FOLDER",
    .summary = "every setting there is, or those that a file makes",
    .help =
        "Without CONFIG and --set: every key with type, default, range and meaning. With them: "
        "the resolved configuration, as YAML that can be read again.\n"
        "--against: nothing if a run with that config.yaml has the same results, else exit 2 and "
        "the first setting that differs.\n"
        "--for: writes a configuration for each of majority, every modality alone, concat and jmt, "
        "from the modalities and targets of DATADIR. Labels that are whole numbers from 0 on count "
        "as classes, balanced if training people have each of them; others as measurements. FOLDER "
        "must not be there, or be empty.",
    .options = options,
    .examples = examples,
    .positional_max = 1,
    .run = run,
};
