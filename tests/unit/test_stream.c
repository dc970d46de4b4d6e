#include <string.h>

#include "check.h"
#include "kernels/base/stream.h"

/* Every place within a line, lengths from nothing to several lines; nothing beside is touched. */
static void as_memcpy(void **state) {
    (void)state;
    enum { ROOM = 512, MOST = 300 };
    unsigned char from[ROOM], to[ROOM], expected[ROOM];
    for (int i = 0; i < ROOM; i++) {
        from[i] = (unsigned char)(i * 7 + 3);
    }
    for (int at = 0; at < 70; at++) {
        for (int bytes = 0; bytes <= MOST; bytes++) {
            memset(to, 0xee, sizeof to);
            memset(expected, 0xee, sizeof expected);
            memcpy(expected + at, from + at % 5, (size_t)bytes);
            stream_copy(to + at, from + at % 5, (size_t)bytes);
            assert_memory_equal(to, expected, sizeof to);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_memcpy)};
    return RUN_TESTS(tests);
}
