/* branches.h - which stream asks which: the cross-attentions of a model (jmt.md 1.6.3). */
#ifndef JMT_BRANCHES_H
#define JMT_BRANCHES_H

#include "trainer/models.h"

typedef struct branch {
    int query, key; /* streams */
} branch_t;

/* Both directions of each pair i < j of modalities, i <- j first; then, with a joint stream (the
 * last, number `modalities`), J <- m and m <- J for each m; of these, those that model.branches
 * leaves. names: by stream. Returns how many. */
int list_branches(const config_t *config, const char *const *names, int modalities, bool joint,
                  branch_t branches_out[OP_INPUTS_MAX]);

/* Whether the stream is in any of them. */
bool branches_have(const branch_t *branches, int count, int stream);

#endif
