/* verify.h - every byte of every file of a data directory against its checksum. */
#ifndef JMT_VERIFY_H
#define JMT_VERIFY_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct verify_bad {
    char *file;
    int64_t offset, length; /* the bytes that one checksum covers */
    char *what;
} verify_bad_t;

typedef struct verify_report {
    int64_t files, blocks; /* blocks: checksums compared */
    verify_bad_t *bad;
    int64_t bad_count;
} verify_report_t;

/* STATUS_OK also with bad blocks: look at bad_count. A missing directory is STATUS_INPUT. */
status_t shard_verify_dir(const char *dir, verify_report_t *report_out) MUST_CHECK;
void verify_report_free(verify_report_t *report);

#endif
