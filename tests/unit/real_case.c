#include "unit/real_case.h"

#include <jansson.h>
#include <string.h>

#include "check.h"
#include "data-sharding/inspect.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

void skip_without(const char *source) {
    if (!dir_exists(source)) {
        print_message("# skipped: the data set is not at %s\n", source);
        skip();
    }
}

/* The number at "a/b/c"; -1 if there is none. */
static int64_t fact(const json_t *root, const char *path) {
    char *copy = text_copy(path), *rest = NULL;
    const json_t *at = root;
    for (char *key = strtok_r(copy, "/", &rest); key != NULL; key = strtok_r(NULL, "/", &rest)) {
        at = json_object_get(at, key);
    }
    free(copy);
    return at == NULL ? -1 : (int64_t)json_number_value(at);
}

void check_facts(const char *path, const want_t *want, int count) {
    dataset_config_t config = inspect_defaults(path);
    char *text = NULL;
    CHECK_OK(inspect_dataset(&config, &text));
    json_t *json = json_loads(text, 0, NULL);
    for (int i = 0; i < count; i++) {
        if (fact(json, want[i].path) != want[i].number) {
            fail_msg("%s is %lld, not %lld", want[i].path, (long long)fact(json, want[i].path),
                     (long long)want[i].number);
        }
    }
    json_decref(json);
    free(text);
}
