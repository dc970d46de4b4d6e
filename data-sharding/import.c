#include "data-sharding/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/generators.h"
#include "data-sharding/importers.h"
#include "data-sharding/media_tracks.h"
#include "data-sharding/out_directory.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define DEFAULT_SALT "jmt"
enum { OPTIONS_MAX = 32, SHARDS_MAX = 100000 };

static const importer_t *const importers[] = {
    &importer_synthetic, &importer_mosi,  &importer_stress_predict, &importer_ceap360,
    &importer_cogload,   &importer_mmmo,  &importer_features,       &importer_media,
    &importer_affwild2,  &importer_biovid};
static const importer_t *const generators[] = {&generator_affwild2, &generator_biovid};

const importer_t *const *import_list(int *count_out) {
    *count_out = ARRAY_LEN(importers);
    return importers;
}

const char *import_recognise(const char *dir) {
    for (int i = 0; i < ARRAY_LEN(importers); i++) {
        if (importers[i]->recognises != NULL && importers[i]->recognises(dir)) {
            return importers[i]->name;
        }
    }
    return NULL;
}

static char *join(char *list, const char *name) {
    char *longer = text_format("%s %s", list, name);
    free(list);
    return longer;
}

static status_t find_row(const importer_t *const *rows, int count, const char *what,
                         const char *name, const importer_t **row_out) {
    char *names = text_copy("");
    for (int i = 0; i < count; i++) {
        if (strcmp(rows[i]->name, name) == 0) {
            *row_out = rows[i];
            free(names);
            return STATUS_OK;
        }
        names = join(names, rows[i]->name);
    }
    status_t status = status_fail(STATUS_INPUT, "no %s \"%s\"; use one of:%s", what, name, names);
    free(names);
    return status;
}

static status_t unknown_option(const importer_t *importer, const char *set) {
    char *names = text_copy(" shards salt");
    for (int i = 0; i < importer->option_count; i++) {
        names = join(names, importer->options[i].name);
    }
    status_t status = status_fail(STATUS_INPUT, "importer %s has no option \"%.*s\"; it has:%s",
                                  importer->name, (int)strcspn(set, "="), set, names);
    free(names);
    return status;
}

static status_t parse_value(const char *set, const import_option_t *option, double *value_out) {
    const char *text = strchr(set, '=') + 1;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= option->min && value <= option->max) ||
        (option->integer && value != floor(value))) {
        return status_fail(STATUS_INPUT, "option %s: %s is not %s from %g to %g", option->name,
                           text, option->integer ? "a whole number" : "a number", option->min,
                           option->max);
    }
    *value_out = value;
    return STATUS_OK;
}

static status_t parse_set(const importer_t *importer, const char *set, import_job_t *job,
                          double *values) {
    static const import_option_t shards = {.name = "shards", .max = SHARDS_MAX, .integer = true};
    size_t bytes = strcspn(set, "=");
    if (set[bytes] != '=') {
        return status_fail(STATUS_INPUT, "\"%s\" is no setting; write KEY=VALUE", set);
    }
    if (bytes == strlen("salt") && strncmp(set, "salt", bytes) == 0) {
        job->salt = set + bytes + 1;
        return STATUS_OK;
    }
    if (bytes == strlen("shards") && strncmp(set, "shards", bytes) == 0) {
        double count;
        TRY(parse_value(set, &shards, &count));
        job->shards = (int64_t)count;
        return STATUS_OK;
    }
    for (int i = 0; i < importer->option_count; i++) {
        const import_option_t *option = &importer->options[i];
        if (bytes == strlen(option->name) && strncmp(set, option->name, bytes) == 0) {
            return parse_value(set, option, &values[i]);
        }
    }
    return unknown_option(importer, set);
}

status_t import_run(const char *importer, const char *source, const char *out,
                    const char *const *sets, int set_count) {
    const importer_t *found = NULL;
    TRY(find_row(importers, ARRAY_LEN(importers), "importer", importer, &found));
    double values[OPTIONS_MAX];
    REQUIRE(found->option_count <= OPTIONS_MAX);
    for (int i = 0; i < found->option_count; i++) {
        values[i] = found->options[i].value;
    }
    import_job_t job = {.source = source, .out = out, .salt = DEFAULT_SALT, .values = values};
    for (int i = 0; i < set_count; i++) {
        TRY(parse_set(found, sets[i], &job, values));
    }
    if (found->recognises == NULL && source != NULL) {
        return status_fail(STATUS_INPUT, "importer %s reads no source; leave out --source",
                           importer);
    }
    if (found->recognises != NULL && source == NULL) {
        return status_fail(STATUS_INPUT, "importer %s needs a directory; give --source DIR",
                           importer);
    }
    if (source != NULL && !dir_exists(source)) {
        return status_fail(STATUS_INPUT, "%s: no such directory; give another --source", source);
    }
    return found->run(&job);
}

/* --- the other way ---------------------------------------------------------------------------- */

const importer_t *const *generator_list(int *count_out) {
    *count_out = ARRAY_LEN(generators);
    return generators;
}

static status_t parse_own(const importer_t *generator, const char *set, double *values) {
    size_t bytes = strcspn(set, "=");
    if (set[bytes] != '=') {
        return status_fail(STATUS_INPUT, "\"%s\" is no setting; write KEY=VALUE", set);
    }
    char *names = text_copy("");
    for (int i = 0; i < generator->option_count; i++) {
        const import_option_t *option = &generator->options[i];
        if (bytes == strlen(option->name) && strncmp(set, option->name, bytes) == 0) {
            free(names);
            return parse_value(set, option, &values[i]);
        }
        names = join(names, option->name);
    }
    status_t status = status_fail(STATUS_INPUT, "--generate %s has no option \"%.*s\"; it has:%s",
                                  generator->name, (int)bytes, set, names);
    free(names);
    return status;
}

/* Aside, and published whole. */
status_t generate_run(const char *layout, const char *out, const char *const *sets, int set_count) {
    const importer_t *found = NULL;
    TRY(find_row(generators, ARRAY_LEN(generators), "layout", layout, &found));
    double values[OPTIONS_MAX];
    for (int i = 0; i < found->option_count; i++) {
        values[i] = found->options[i].value;
    }
    for (int i = 0; i < set_count; i++) {
        TRY(parse_own(found, sets[i], values));
    }
    TRY(media_available());
    TRY(out_directory_check(out));
    char *name = out_directory_name(out), *aside = text_format("%s.tmp", name);
    import_job_t job = {.out = aside, .values = values};
    status_t status = dir_remove(aside);
    if (status == STATUS_OK) {
        status = dir_make(aside);
    }
    if (status == STATUS_OK) {
        status = found->run(&job);
    }
    if (status == STATUS_OK) {
        status = out_directory_publish(aside, name);
    }
    free(aside);
    free(name);
    return status;
}
