#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/import.h"
#include "data-sharding/remove_subject.h"
#include "data-sharding/verify.h"
#include "kernels/base/log.h"
#include "launch/command.h"

static const option_t options[] = {
    {"--source", "DIR", "what to import"},
    {"--out", "DIR", "data directory to write (the key file becomes DIR.key)"},
    {"--set", "KEY=VALUE", "a setting of the importer; may be repeated"},
    {"--settings", NULL, "print the settings of an importer, their defaults and bounds"},
    {"--recognise", "DIR", "print the importer that recognises DIR"},
    {"--generate", "LAYOUT", "write raw media as affwild2 or biovid have them, of nobody"},
    {"--verify", "DIR", "check every byte of a data directory; exit 1 if any is bad"},
    {"--remove-subject", "NAME", "rewrite the data directory without this person; needs --key"},
    {"--key", "FILE", "the key file of the import"},
    OPTION_JSON,
    OPTION_END,
};

static status_t verify(const char *directory, bool json) {
    verify_report_t report = {0};
    TRY(shard_verify_dir(directory, &report));
    json_t *bad = json_array();
    for (int64_t i = 0; i < report.bad_count; i++) {
        const verify_bad_t *b = &report.bad[i];
        json_array_append_new(bad, json_pack("{s:s, s:I, s:I, s:s}", "file", b->file, "offset",
                                             (json_int_t)b->offset, "length", (json_int_t)b->length,
                                             "what", b->what));
    }
    json_t *object = json_pack("{s:I, s:I, s:o}", "files", (json_int_t)report.files, "blocks",
                               (json_int_t)report.blocks, "bad", bad);
    if (json) {
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
    } else {
        printf("%lld files, %lld blocks, %lld bad\n", (long long)report.files,
               (long long)report.blocks, (long long)report.bad_count);
    }
    status_t status = STATUS_OK;
    if (report.bad_count > 0) {
        status =
            status_fail(STATUS_FAILED, "%s: %s (bytes %lld to %lld) and %lld more; import again",
                        report.bad[0].file, report.bad[0].what, (long long)report.bad[0].offset,
                        (long long)(report.bad[0].offset + report.bad[0].length),
                        (long long)report.bad_count - 1);
    }
    json_decref(object);
    verify_report_free(&report);
    return status;
}

static void importer_names(const importer_t *const *list, int count, char *text, size_t bytes) {
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, bytes - used, "%s%s", i > 0 ? ", " : "", list[i]->name);
    }
}

static int importer_terms(word_t terms_out[TERMS_MAX]) {
    int count = 0;
    const importer_t *const *list = import_list(&count);
    REQUIRE(count <= TERMS_MAX);
    for (int i = 0; i < count; i++) {
        terms_out[i] = (word_t){list[i]->name, list[i]->summary};
    }
    return count;
}

static status_t recognise(const char *directory) {
    const char *name = import_recognise(directory);
    if (name == NULL) {
        char names[512];
        int count = 0;
        const importer_t *const *list = import_list(&count);
        importer_names(list, count, names, sizeof names);
        return status_fail(STATUS_INPUT, "no importer recognises %s; there are: %s", directory,
                           names);
    }
    printf("%s\n", name);
    return STATUS_OK;
}

static status_t remove_person(const arguments_t *arguments) {
    const char *key = arguments_value(arguments, "--key");
    if (key == NULL || arguments->positional_count != 1) {
        return status_fail(STATUS_INPUT, "usage: jmt shard --remove-subject NAME --key FILE DIR");
    }
    return shard_remove_subject(arguments_value(arguments, "--remove-subject"), key,
                                arguments->positional[0]);
}

static void print_options(const importer_t *row) {
    for (int k = 0; k < row->option_count; k++) {
        const import_option_t *option = &row->options[k];
        printf("%-18s %g (%g to %g)\n    %s\n", option->name, option->value, option->min,
               option->max, option->help);
    }
}

static status_t print_settings(const arguments_t *arguments) {
    int count = 0;
    const char *layout = arguments_value(arguments, "--generate");
    const importer_t *const *list = layout != NULL ? generator_list(&count) : import_list(&count);
    const char *name = arguments->positional_count == 1 ? arguments->positional[0] : "";
    char names[512];
    importer_names(list, count, names, sizeof names);
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i]->name, layout != NULL ? layout : name) == 0) {
            print_options(list[i]);
            if (layout == NULL) {
                printf("shards             0\n    files to write; 0: of about 256 MiB each\n"
                       "salt               jmt\n    decides the order of aliases\n");
            }
            return STATUS_OK;
        }
    }
    return layout != NULL
               ? status_fail(STATUS_INPUT,
                             "usage: jmt shard --generate LAYOUT --settings; "
                             "layouts: %s",
                             names)
               : status_fail(STATUS_INPUT, "usage: jmt shard IMPORTER --settings; importers: %s",
                             names);
}

static status_t generate(const arguments_t *arguments) {
    const char *layout = arguments_value(arguments, "--generate");
    const char *out = arguments_value(arguments, "--out");
    if (out == NULL || arguments->positional_count > 0) {
        return status_fail(STATUS_INPUT,
                           "usage: jmt shard --generate LAYOUT --out DIR [--set KEY=VALUE]...");
    }
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    TRY(generate_run(layout, out, sets, count));
    log_info("wrote %s, for jmt shard %s; %s/optimum.json has what can be told from it", out,
             layout, out);
    return STATUS_OK;
}

static status_t import(const arguments_t *arguments) {
    const char *out = arguments_value(arguments, "--out");
    if (arguments->positional_count == 0 || out == NULL) {
        char names[512];
        int importers = 0;
        const importer_t *const *list = import_list(&importers);
        importer_names(list, importers, names, sizeof names);
        return status_fail(STATUS_INPUT,
                           "usage: jmt shard IMPORTER [--source DIR] --out DIR; importers: %s",
                           names);
    }
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    TRY(import_run(arguments->positional[0], arguments_value(arguments, "--source"), out, sets,
                   count));
    if (arguments_has(arguments, "--json")) {
        json_t *object = json_pack("{s:s, s:s, s:s+}", "importer", arguments->positional[0], "out",
                                   out, "key", out, ".key");
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
        json_decref(object);
    }
    log_info("wrote %s; names of people are in %s.key only", out, out);
    return STATUS_OK;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    if (arguments_has(arguments, "--verify")) {
        return verify(arguments_value(arguments, "--verify"), arguments_has(arguments, "--json"));
    }
    if (arguments_has(arguments, "--recognise")) {
        return recognise(arguments_value(arguments, "--recognise"));
    }
    if (arguments_has(arguments, "--settings")) {
        return print_settings(arguments);
    }
    if (arguments_has(arguments, "--generate")) {
        return generate(arguments);
    }
    if (arguments_has(arguments, "--remove-subject")) {
        return remove_person(arguments);
    }
    return import(arguments);
}

static const example_t examples[] = {
    {"jmt shard mosi --source downloads/mosi --out data/mosi", ""},
    {"jmt shard features --source mine --out data/mine",
     "mine/manifest.csv: recording,subject,group,modality,rate_hz,path"},
    {"jmt shard media --source mine --out data/mine --set first_frame=1",
     "videos, pictures, sound and signals, likewise"},
    {"jmt shard affwild2 --source downloads/affwild2 --out data/affwild2", ""},
    {"jmt shard media --settings", ""},
    {"jmt shard --generate biovid --out raw/biovid --set people=10", ""},
    {"jmt shard --verify data/mosi", "every byte"},
    EXAMPLE_END,
};

const command_t command_shard = {
    .name = "shard",
    .group = GROUP_DATA,
    .synopsis = "IMPORTER [--source DIR] --out DIR [--set KEY=VALUE]... [--json]\n--verify DIR "
                "[--json]\nIMPORTER --settings\n--recognise DIR\n--generate "
                "LAYOUT --out DIR [--set KEY=VALUE]...\n--remove-subject NAME --key FILE DIR",
    .summary = "make verified shards from raw data, check them, drop a person",
    .help =
        "Names of people become aliases; the names are in the key file DIR.key alone, which "
        "belongs elsewhere.\n--generate writes raw media of nobody in the layout of affwild2 or "
        "biovid: drawn faces, synthesised voices and signals. Labels can be told in part from "
        "each and better from both; DIR/optimum.json says how well at best.",
    .terms_title = "Importers",
    .terms = importer_terms,
    .options = options,
    .examples = examples,
    .exit_codes = "0 done or intact, 1 bad bytes were found (--verify), 2 usage or bad input.",
    .positional_max = 1,
    .run = run,
};
