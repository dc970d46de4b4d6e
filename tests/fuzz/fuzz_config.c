/* YAML and --set to settings: lines "--set KEY=VALUE" come first, then the file. What is accepted
 * prints as YAML that reads back to the same settings. */
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

#define SET "--set "
enum { SETS_MAX = 4 };

static void check_printed(config_t *config) {
    char *yaml = config_yaml(config), *json = config_json(config);
    config_t *again = NULL;
    REQUIRE(config_parse(yaml, "printed", NULL, 0, &again) == STATUS_OK);
    char *twice = config_yaml(again);
    REQUIRE(strcmp(yaml, twice) == 0);
    config_free(again);
    free(twice);
    free(json);
    free(yaml);
}

bool fuzz_config(const uint8_t *data, size_t bytes) {
    char *text = alloc_zero((int64_t)bytes + 1, 1), *rest = text;
    memcpy(text, data, bytes);
    const char *sets[SETS_MAX];
    int count = 0;
    while (count < SETS_MAX && strncmp(rest, SET, strlen(SET)) == 0) {
        sets[count++] = rest + strlen(SET);
        rest += strcspn(rest, "\n");
        if (*rest != '\0') {
            *rest++ = '\0';
        }
    }
    config_t *config = NULL;
    bool accepted = config_parse(rest, "fuzz", sets, count, &config) == STATUS_OK;
    if (accepted) {
        check_printed(config);
        config_free(config);
    }
    free(text);
    return accepted;
}
