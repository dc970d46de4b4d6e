/* gzip.h - a gzip'ed file, or one that is not compressed, as text in memory. */
#ifndef JMT_GZIP_H
#define JMT_GZIP_H

#include <stddef.h>

#include "kernels/base/status.h"

/* *text_out has a NUL behind its last byte; the caller frees it. A file that is missing, cut or
 * damaged is STATUS_INPUT, and so is one that grows beyond 1 GiB. */
status_t gzip_read(const char *path, char **text_out, size_t *bytes_out) MUST_CHECK;

#endif
