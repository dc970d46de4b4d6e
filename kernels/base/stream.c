#include "kernels/base/stream.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>

enum { LINE_BYTES = 64, AHEAD_BYTES = 1024 };

/* to: at the begin of a cache line. */
static void stream_lines(char *to, const char *from, size_t lines) {
    for (size_t i = 0; i < lines; i++, to += LINE_BYTES, from += LINE_BYTES) {
        _mm_prefetch(from + AHEAD_BYTES, _MM_HINT_T0);
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(from + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(from + 48));
        _mm_stream_si128((__m128i *)(void *)to, a);
        _mm_stream_si128((__m128i *)(void *)(to + 16), b);
        _mm_stream_si128((__m128i *)(void *)(to + 32), c);
        _mm_stream_si128((__m128i *)(void *)(to + 48), d);
    }
    _mm_sfence();
}

void stream_copy(void *to, const void *from, size_t bytes) {
    size_t head = -(uintptr_t)to % LINE_BYTES;
    head = head < bytes ? head : bytes;
    size_t lines = (bytes - head) / LINE_BYTES, done = head + lines * LINE_BYTES;
    memcpy(to, from, head);
    stream_lines((char *)to + head, (const char *)from + head, lines);
    memcpy((char *)to + done, (const char *)from + done, bytes - done);
}
#else
void stream_copy(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }
#endif
