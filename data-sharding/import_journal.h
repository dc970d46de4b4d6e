/* import_journal.h - how far an import came whose shards lie in OUT.tmp, so that one that was
 * stopped can go on behind its last whole shard; private to data-sharding/. */
#ifndef JMT_IMPORT_JOURNAL_H
#define JMT_IMPORT_JOURNAL_H

#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/status.h"

#define JOURNAL_NAME "journal.json"

typedef struct import_journal {
    char key[SHA256_TEXT_BYTES]; /* of what the import depends on */
    int64_t items;               /* of the importer's list that are in a shard or left out */
    int64_t added;               /* recordings among them */
    int64_t shards;              /* shard-00000.h5 and so on */
} import_journal_t;

status_t journal_write(const char *dir, const import_journal_t *journal) MUST_CHECK;

/* *journal_out is all 0 where there is none, or one of another import, or none that can be read:
 * then the import begins anew. */
void journal_read(const char *dir, const char *key, import_journal_t *journal_out);

#endif
