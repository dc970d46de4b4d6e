/* zip_file.h - a zip archive, read in place: its list of members, and each as bytes. */
#ifndef JMT_ZIP_FILE_H
#define JMT_ZIP_FILE_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct zip_member {
    const char *name; /* the zip's, not ended by NUL */
    uint16_t name_bytes, flags, method, disk;
    uint16_t mode; /* as stat has it; 0 where the writer had none */
    uint32_t crc;
    uint64_t packed, plain, header_at; /* bytes as stored, bytes as they are, place */
} zip_member_t;

typedef struct zip zip_t;

/* Reads the directory. What is no zip, damaged, or in several parts is STATUS_INPUT. */
status_t zip_open(const char *path, zip_t **zip_out) MUST_CHECK;
void zip_close(zip_t *zip); /* NULL allowed */
const zip_member_t *zip_members(const zip_t *zip, int64_t *count_out);

/* The member called `member`, or `member` with `suffix` behind it; "" is the only one there is. */
status_t zip_find(const zip_t *zip, const char *member, const char *suffix,
                  const zip_member_t **member_out) MUST_CHECK;

/* All bytes of a member, with a NUL behind them; the caller frees. Stored or deflated, at most
 * 1 GiB, length and CRC checked; everything else (encrypted, damaged, a bomb) is STATUS_INPUT.
 * Thread-safe. */
status_t zip_read(const zip_t *zip, const zip_member_t *member, char **data_out) MUST_CHECK;

#endif
