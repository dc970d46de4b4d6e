/* log.h - lines for people, on stderr. Only rank 0 speaks unless told otherwise. */
#ifndef JMT_BASE_LOG_H
#define JMT_BASE_LOG_H

#include <stdbool.h>

#include "kernels/base/status.h"

void log_quiet(bool quiet); /* rank > 0: info is dropped, warnings stay */
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
