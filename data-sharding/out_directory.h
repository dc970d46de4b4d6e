/* out_directory.h - where a data directory is made: in OUT.tmp, published by one rename. */
#ifndef JMT_OUT_DIRECTORY_H
#define JMT_OUT_DIRECTORY_H

#include "kernels/base/status.h"

/* Without slashes at its end; caller frees. */
char *out_directory_name(const char *out);
/* STATUS_INPUT if something lies there already. */
status_t out_directory_check(const char *out) MUST_CHECK;
status_t out_directory_publish(const char *aside, const char *out) MUST_CHECK;

#endif
