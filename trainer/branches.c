#include "trainer/branches.h"

#include <string.h>

static bool listed(const char *words, const char *word) {
    size_t length = strlen(word);
    for (const char *at = words; *at != '\0';) {
        size_t here = strcspn(at, " ");
        if (here == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += here + strspn(at + here, " ");
    }
    return false;
}

/* model.branches: the branches wanted, or, each behind a -, those unwanted; empty: all. */
static bool wanted(const char *words, const char *query, const char *key) {
    if (words[0] == '\0') {
        return true;
    }
    return words[0] == '-' ? !listed(words, name_of("-%s<-%s", query, key).text)
                           : listed(words, name_of("%s<-%s", query, key).text);
}

int list_branches(const config_t *config, const char *const *names, int modalities, bool joint,
                  branch_t branches_out[OP_INPUTS_MAX]) {
    branch_t all[OP_INPUTS_MAX];
    int total = 0, count = 0;
    for (int i = 0; i < modalities; i++) {
        for (int j = i + 1; j < modalities; j++) {
            all[total++] = (branch_t){i, j};
            all[total++] = (branch_t){j, i};
        }
    }
    for (int m = 0; joint && m < modalities; m++) {
        all[total++] = (branch_t){modalities, m};
        all[total++] = (branch_t){m, modalities};
    }
    for (int b = 0; b < total; b++) {
        if (wanted(config->model.branches, names[all[b].query], names[all[b].key])) {
            branches_out[count++] = all[b];
        }
    }
    return count;
}

bool branches_have(const branch_t *branches, int count, int stream) {
    for (int b = 0; b < count; b++) {
        if (branches[b].query == stream || branches[b].key == stream) {
            return true;
        }
    }
    return false;
}
