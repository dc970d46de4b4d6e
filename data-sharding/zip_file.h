/* zip_file.h - one member of a zip archive in memory, such as numpy.savez writes. */
#ifndef JMT_ZIP_FILE_H
#define JMT_ZIP_FILE_H

#include <stddef.h>

#include "kernels/base/status.h"

/* The member called `member`, or `member` with `suffix` behind it; "" is the only one there is.
 * Stored or deflated, at most 1 GiB, its length and CRC checked; everything else (encrypted, in
 * several parts, damaged, a bomb) is STATUS_INPUT. The caller frees both. */
status_t zip_read(const char *path, const char *member, const char *suffix, char **name_out,
                  char **data_out, size_t *bytes_out) MUST_CHECK;

#endif
