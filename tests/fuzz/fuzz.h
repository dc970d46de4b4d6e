/* fuzz.h - one function for each reader: it takes any bytes and comes back, whatever they are.
 *
 * libFuzzer drives them (entry.c, tests/fuzz/run), and the unit test test_fuzz_corpus replays what
 * it kept. A reader may refuse; it must not crash, leak, ask for absurd amounts of memory, or
 * accept what it then cannot use. */
#ifndef JMT_FUZZ_H
#define JMT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the reader accepted it: every corpus holds something that it does. */
typedef bool fuzz_target_t(const uint8_t *data, size_t bytes);

#define FUZZ_TARGETS(X)                                                                            \
    X(archive)                                                                                     \
    X(boxes)                                                                                       \
    X(config)                                                                                      \
    X(safetensors)                                                                                 \
    X(shard)                                                                                       \
    X(matrix)                                                                                      \
    X(features)                                                                                    \
    X(dataset_json)                                                                                \
    X(checkpoint)                                                                                  \
    X(key)                                                                                         \
    X(pickle)                                                                                      \
    X(torch)

/* There with jmt_media alone. */
#define FUZZ_MEDIA_TARGETS(X)                                                                      \
    X(audio)                                                                                       \
    X(image)                                                                                       \
    X(video)

#define FUZZ_DECLARE_(name) fuzz_target_t fuzz_##name;
FUZZ_TARGETS(FUZZ_DECLARE_)
FUZZ_MEDIA_TARGETS(FUZZ_DECLARE_)

/* The target, and what holds of all of them: the error, if any, is one line of plain text. */
bool fuzz_run(fuzz_target_t *target, const uint8_t *data, size_t bytes);

/* A fresh directory, in memory where the system has one; removed by fuzz_dir_remove. */
char *fuzz_dir_make(void);
void fuzz_dir_remove(char *dir);
/* DIR/NAME, caller frees; and a file of that name, written without a sync. */
char *fuzz_path(const char *dir, const char *name);
void fuzz_write(const char *dir, const char *name, const void *data, size_t bytes);
/* The same, and SUM_NAME with its SHA-256 and `end`: the target lies behind the checksum. */
void fuzz_write_sealed(const char *dir, const char *name, const char *sum_name, const char *end,
                       const void *data, size_t bytes);

#endif
