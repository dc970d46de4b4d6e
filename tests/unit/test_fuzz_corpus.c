/* Every input that fuzzing kept, through the same functions: nothing crashes or leaks, and of each
 * corpus something is refused and something is read. */
#include <string.h>

#include "check.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static void replay(const char *corpus, fuzz_target_t *target) {
    char *dir = text_format(SOURCE_DIR "/tests/fuzz/corpus/%s", corpus), **names = NULL;
    int count = 0, accepted = 0;
    CHECK_OK(dir_list(dir, &names, &count));
    for (int i = 0; i < count; i++) {
        char *path = text_format("%s/%s", dir, names[i]), *data = NULL;
        size_t bytes = 0;
        CHECK_OK(file_read(path, &data, &bytes));
        accepted += fuzz_run(target, (const uint8_t *)data, bytes);
        free(data);
        free(path);
    }
    assert_true(accepted > 0 && accepted < count);
    names_free(names, count);
    free(dir);
}

#define TEST_(name)                                                                                \
    static void corpus_of_##name(void **state) {                                                   \
        (void)state;                                                                               \
        replay(#name, fuzz_##name);                                                                \
    }
FUZZ_TARGETS(TEST_)
#ifdef JMT_MEDIA
FUZZ_MEDIA_TARGETS(TEST_)
#else
#define SKIP_(name)                                                                                \
    static void corpus_of_##name(void **state) {                                                   \
        (void)state;                                                                               \
        print_message("# skipped: built without the readers of raw media\n");                      \
        skip();                                                                                    \
    }
FUZZ_MEDIA_TARGETS(SKIP_)
#endif

#define ROW_(name) cmocka_unit_test(corpus_of_##name),
int main(void) {
    const struct CMUnitTest tests[] = {FUZZ_TARGETS(ROW_) FUZZ_MEDIA_TARGETS(ROW_)};
    return RUN_TESTS(tests);
}
