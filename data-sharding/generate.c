#include <stdlib.h>
#include <string.h>

#include "data-sharding/generators.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

status_t generate_full(const char *path) {
    return status_fail(STATUS_FAILED, "cannot write %s; free some space, or use another --out",
                       path);
}

status_t generate_begin(const char *out, const char *name, FILE **file_out) {
    char *path = text_format("%s/%s", out, name);
    *file_out = fopen(path, "w");
    status_t status = *file_out != NULL ? STATUS_OK : generate_full(path);
    free(path);
    return status;
}

status_t generate_optimum(const char *out, const importer_t *generator, const double *values,
                          json_t *optimum) {
    json_t *chosen = json_object();
    for (int i = 0; i < generator->option_count; i++) {
        const import_option_t *option = &generator->options[i];
        json_object_set_new(chosen, option->name,
                            option->integer ? json_integer((json_int_t)values[i])
                                            : json_real(values[i]));
    }
    json_t *root = json_pack("{s:s, s:o, s:o}", "generated", generator->name, "options", chosen,
                             "optimum", optimum);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(12) | JSON_PRESERVE_ORDER);
    char *path = text_format("%s/optimum.json", out);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    free(text);
    json_decref(root);
    return status;
}
