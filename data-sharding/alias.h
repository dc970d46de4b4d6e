/* alias.h - aliases for people, and the key file (mode 0600, outside the data) that maps them
 * back. */
#ifndef JMT_ALIAS_H
#define JMT_ALIAS_H

#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/status.h"

/* Aliases "s0001"... in an order that only the salt decides; caller frees each and the array. */
char **alias_deal(const char *salt, int64_t count);

/* What ties a key file to the data whose aliases it explains: 64 hex digits that follow from the
 * salt and all names, so that the key of other data, whose aliases look alike, is refused. */
void key_id(const char *salt, const char *const *subjects, int64_t count,
            char id_out[SHA256_TEXT_BYTES]);

/* text with the subject's name, where it stands as a whole word, replaced by the alias. */
char *alias_replace(const char *text, const char *subject, const char *alias);

/* Refuses to overwrite a key file that says something else. */
status_t key_write(const char *path, const char *salt, const char *const *subjects,
                   char *const *aliases, int64_t count) MUST_CHECK;

/* id: of the data; the key file of other data is STATUS_INPUT, and so is an unknown name. */
status_t key_find(const char *path, const char *id, const char *subject,
                  char **alias_out) MUST_CHECK;
status_t key_remove(const char *path, const char *subject) MUST_CHECK;

#endif
