/* config_origin.h - where each setting was last given, so that a rule across keys can point at it;
 * private to configs/. */
#ifndef JMT_CONFIG_ORIGIN_H
#define JMT_CONFIG_ORIGIN_H

#include <stdbool.h>

#include "configs/config.h"

typedef struct config_origin {
    char *key;
    char *place; /* "FILE:LINE:COL" or "--set K=V" */
} config_origin_t;

typedef struct config_origins {
    config_origin_t *items; /* in the order in which they were given */
    int count;
    bool stored; /* of a run that is there already: see origins_unused */
} config_origins_t;

/* A key given again moves to the end. */
void origins_set(config_origins_t *origins, const char *key, const char *place);
const char *origins_find(const config_origins_t *origins, const char *key); /* NULL: not given */
/* Whether --set gave it last: then it is meant for this run, where files may serve many. */
bool origins_by_set(const config_origins_t *origins, const char *key);
/* Forgets the key and all below it. */
void origins_drop(config_origins_t *origins, const char *key);
/* The place of whichever of two keys was given last; NULL: neither. b may be NULL. */
const char *origins_latest(const config_origins_t *origins, const char *a, const char *b);
/* `status`, said at the place of whichever of two keys was given last, else at `file` (NULL: at
 * none). text: "CAUSE; REMEDY", freed here. */
status_t origins_fail(const config_origins_t *origins, const char *file, status_t status,
                      const char *key, const char *other, char *text) MUST_CHECK;
/* The same of a setting that nothing reads, STATUS_INPUT; but what is stored and was not given by
 * --set now is let be: the version that trained with it took it. */
status_t origins_unused(const config_origins_t *origins, const char *file, const char *key,
                        const char *other, char *text) MUST_CHECK;
void origins_free(config_origins_t *origins);

/* Rules across keys (config_check.c). name: the file, for messages about what nobody gave; NULL:
 * none. */
status_t config_check(const config_t *config, const config_origins_t *origins,
                      const char *name) MUST_CHECK;

/* The part of it about each modality (config_check_modality.c). */
status_t config_check_modalities(const config_t *config, const config_origins_t *origins,
                                 const char *name) MUST_CHECK;

/* The part of it about each target (config_check_targets.c). */
status_t config_check_targets(const config_t *config, const config_origins_t *origins,
                              const char *name) MUST_CHECK;

/* The part of it about parity.* (config_check_parity.c). */
status_t config_check_parity(const config_t *config, const config_origins_t *origins,
                             const char *name) MUST_CHECK;

/* The part of it about the forms of the fusion (config_check_model.c), once the names of modalities
 * have been checked. */
status_t config_check_fusion(const config_t *config, const config_origins_t *origins,
                             const char *name) MUST_CHECK;

/* The part of it about the files of init (config_check_init.c). */
status_t config_check_init(const config_t *config, const config_origins_t *origins,
                           const char *name) MUST_CHECK;

#endif
