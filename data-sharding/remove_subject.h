/* remove_subject.h - takes a person out of a data directory. */
#ifndef JMT_REMOVE_SUBJECT_H
#define JMT_REMOVE_SUBJECT_H

#include "kernels/base/status.h"

/* name: as in the key file, which must be that of this data. The directory without the person is
 * built in DIR.tmp and takes DIR's place in one step; then the old one and the name in the key file
 * are removed. After a kill, the same command finishes what is left. */
status_t shard_remove_subject(const char *name, const char *key_file, const char *dir) MUST_CHECK;

#endif
