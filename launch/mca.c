#include "launch/mca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { VALUE_BYTES = 256, PATHS_BYTES = 4096 };

/* Whether `word` is one of "a,b,c" or "^a,b,c". */
static bool list_has(const char *list, const char *word, size_t length) {
    const char *at = list + (list[0] == '^');
    while (*at != '\0') {
        size_t here = strcspn(at, ",");
        if (here == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += here + (at[here] == ',');
    }
    return false;
}

static bool keeps_to(const char *ours, const char *theirs) {
    bool kept = theirs[0] == '^';
    for (const char *at = theirs + 1; kept && *at != '\0';) {
        size_t length = strcspn(at, ",");
        kept = list_has(ours, at, length) == (ours[0] == '^');
        at += length + (at[length] == ',');
    }
    return kept;
}

/* The value of a line "name = value", without what begins at a #; false: another line. */
static bool value_of(const char *line, const char *name, char value_out[VALUE_BYTES]) {
    static const char *const space = " \t\r";
    const char *at = line + strspn(line, space);
    size_t length = strlen(name);
    if (strncmp(at, name, length) != 0) {
        return false;
    }
    at += length + strspn(at + length, space);
    if (*at != '=') {
        return false;
    }
    at += 1 + strspn(at + 1, space);
    snprintf(value_out, VALUE_BYTES, "%.*s", (int)strcspn(at, " \t\r\n#"), at);
    return true;
}

/* The first file that speaks of it counts. */
static bool file_sets(const char *path, const char *name, char value_out[VALUE_BYTES]) {
    char *text = NULL;
    bool found = false;
    if (!file_exists(path) || file_read(path, &text, NULL) != STATUS_OK) {
        return false;
    }
    for (const char *line = text; *line != '\0' && !found;) {
        found = value_of(line, name, value_out);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    free(text);
    return found;
}

/* Beside the mpirun that would be started; a distribution's has its file in /etc. */
static void add_own_prefix(char paths[PATHS_BYTES]) {
    const char *search = getenv("PATH");
    for (const char *at = search != NULL ? search : ""; *at != '\0';) {
        size_t length = strcspn(at, ":"), used = strlen(paths);
        char *program = text_format("%.*s/mpirun", (int)length, at);
        bool found = file_exists(program);
        free(program);
        if (found) {
            snprintf(paths + used, PATHS_BYTES - used, ",%.*s/../etc/openmpi-mca-params.conf",
                     (int)length, at);
            return;
        }
        at += length + (at[length] == ':');
    }
}

static void files_of(char paths_out[PATHS_BYTES]) {
    const char *given = getenv("OMPI_MCA_mca_base_param_files"), *home = getenv("HOME");
    if (given != NULL) {
        snprintf(paths_out, PATHS_BYTES, "%s", given);
        return;
    }
    snprintf(paths_out, PATHS_BYTES, "%s/.openmpi/mca-params.conf", home != NULL ? home : "");
    add_own_prefix(paths_out);
    size_t used = strlen(paths_out);
    snprintf(paths_out + used, PATHS_BYTES - used,
             ",/etc/openmpi/openmpi-mca-params.conf,/etc/openmpi-x86_64/openmpi-mca-params.conf");
}

bool mca_is_asked(const char *name, const char *ours) {
    char *variable = text_format("OMPI_MCA_%s", name);
    bool by_environment = getenv(variable) != NULL, found = false;
    free(variable);
    char paths[PATHS_BYTES], value[VALUE_BYTES] = "";
    files_of(paths);
    for (const char *at = paths; *at != '\0' && !by_environment && !found;) {
        size_t length = strcspn(at, ",:");
        char *path = text_format("%.*s", (int)length, at);
        found = file_sets(path, name, value);
        free(path);
        at += length + (at[length] != '\0');
    }
    return by_environment || (found && !keeps_to(ours, value));
}
