/* stream.h - copying past the caches. */
#ifndef JMT_BASE_STREAM_H
#define JMT_BASE_STREAM_H

#include <stddef.h>

/* memcpy for arrays that no cache holds until they are read: the destination is not fetched before
 * it is overwritten. */
void stream_copy(void *to, const void *from, size_t bytes);

#endif
