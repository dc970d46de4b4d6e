#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "launch/command.h"

static const option_t options[] = {OPTION_JSON, OPTION_END};

char *version_json(void) {
    const char *isa = NULL;
    json_t *object = json_pack("{s:s, s:s, s:[s, s]}", "version", JMT_VERSION, "commit", JMT_COMMIT,
                               "backends", "ref", "cpu");
    if (kernels_isa(&isa) == STATUS_OK) {
        json_object_set_new(object, "isa", json_string(isa));
    } else {
        json_object_set_new(object, "isa", json_null());
    }
    char *text = json_dumps(object, JSON_PRESERVE_ORDER);
    json_decref(object);
    return text;
}

static double free_bytes(const char *path) {
    struct statvfs info;
    return statvfs(path, &info) == 0 ? (double)info.f_bavail * (double)info.f_frsize : 0.0;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    const char *isa = NULL;
    TRY(kernels_isa(&isa));
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:f, s:f, s:s}", "version", JMT_VERSION, "host", host,
        "isa", isa, "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "ranks", comm_size(comm),
        "backend_ref", kernels_library_version("ref"), "backend_cpu",
        kernels_library_version("cpu"), "shared_memory_free_mb", free_bytes("/dev/shm") / 1048576.0,
        "memory_mb", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1048576.0,
        "cuda", "not in this build");
    if (arguments_has(arguments, "--json")) {
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
    } else {
        const char *key;
        json_t *value;
        json_object_foreach(object, key, value) {
            if (json_is_string(value)) {
                printf("%-24s %s\n", key, json_string_value(value));
            } else {
                printf("%-24s %.0f\n", key, json_number_value(value));
            }
        }
    }
    json_decref(object);
    return STATUS_OK;
}

const command_t command_doctor = {
    .name = "doctor",
    .synopsis = "[--json]",
    .summary = "what this build and this machine can do",
    .help = "",
    .options = options,
    .run = run,
};
