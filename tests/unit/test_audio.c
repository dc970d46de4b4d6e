/* WAV of every width; every cut and absurd header is refused. */
#include <string.h>

#include "check.h"
#include "data-sharding/audio.h"
#include "kernels/base/bytes.h"

enum { FRAMES = 5, HEAD = 44 };

typedef struct wav_file {
    uint8_t data[2048];
    size_t bytes;
} wav_file_t;

static void put(wav_file_t *file, const void *data, size_t bytes) {
    memcpy(file->data + file->bytes, data, bytes);
    file->bytes += bytes;
}

static void put_number(wav_file_t *file, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        file->data[file->bytes++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_head(wav_file_t *file, unsigned coding, unsigned channels, unsigned rate,
                     unsigned bits, unsigned data_bytes) {
    file->bytes = 0;
    put(file, "RIFF\0\0\0\0WAVEfmt \20\0\0\0", 20);
    put_number(file, coding, 2);
    put_number(file, channels, 2);
    put_number(file, rate, 4);
    put_number(file, rate * channels * bits / 8, 4);
    put_number(file, channels * bits / 8, 2);
    put_number(file, bits, 2);
    put(file, "data", 4);
    put_number(file, data_bytes, 4);
}

/* Quarters of the full scale: -1, -0.5, 0, 0.25, 0.75. */
static const int quarters[FRAMES] = {-4, -2, 0, 1, 3};

static void put_sample(wav_file_t *file, unsigned coding, unsigned bits, int quarter) {
    float single = (float)quarter / 4.0f;
    double wide = quarter / 4.0;
    if (coding == 3) {
        put(file, bits == 32 ? (const void *)&single : &wide, bits / 8);
    } else {
        int64_t value = (int64_t)quarter * (INT64_C(1) << (bits - 3)) + (bits == 8 ? 128 : 0);
        put_number(file, (uint64_t)value, (int)bits / 8);
    }
}

/* The bytes in memory of their own, so that reading behind them is seen. */
static status_t decode(const uint8_t *data, size_t bytes, audio_t *audio) {
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    memcpy(copy, data, bytes);
    status_t status = wav_decode("it.wav", copy, bytes, audio);
    free(copy);
    return status;
}

static void every_width_is_read(void **state) {
    (void)state;
    static const unsigned kinds[][2] = {{1, 8}, {1, 16}, {1, 24}, {1, 32}, {3, 32}, {3, 64}};
    for (int k = 0; k < ARRAY_LEN(kinds); k++) {
        for (unsigned channels = 1; channels <= 3; channels++) {
            wav_file_t file;
            unsigned coding = kinds[k][0], bits = kinds[k][1];
            put_head(&file, coding, channels, 11127, bits, FRAMES * channels * bits / 8);
            for (int i = 0; i < FRAMES; i++) {
                for (unsigned c = 0; c < channels; c++) { /* the last channel alone is not zero */
                    put_sample(&file, coding, bits, c + 1 == channels ? quarters[i] : 0);
                }
            }
            audio_t audio;
            CHECK_OK(decode(file.data, file.bytes, &audio));
            assert_int_equal(audio.rate_hz, 11127);
            assert_int_equal(audio.count, FRAMES);
            for (int i = 0; i < FRAMES; i++) {
                assert_true(audio.samples[i] == (float)(quarters[i] / 4.0 / channels));
            }
            audio_free(&audio);
            for (size_t cut = 0; cut < file.bytes; cut++) {
                CHECK_FAILS(decode(file.data, cut, &audio), STATUS_INPUT, "it.wav: ");
            }
        }
    }
}

static void other_chunks_are_passed(void **state) {
    (void)state;
    wav_file_t plain, file = {.bytes = 0};
    put_head(&plain, 1, 1, 8000, 16, 4);
    put(&plain, "\0\100\0\300", 4);
    put(&file, plain.data, 12);
    put(&file, "LIST\3\0\0\0abc\0", 12); /* of odd length, padded */
    put(&file, "fmt \50\0\0\0\376\377", 10);
    put(&file, plain.data + 22, 14);
    put(&file, "\26\0\20\0\0\0\0\0", 8);
    put(&file, "\1\0\0\0\0\0\20\0\200\0\0\252\0\70\233\161", 16);
    put(&file, plain.data + 36, 12);
    audio_t audio;
    CHECK_OK(decode(file.data, file.bytes, &audio));
    assert_int_equal(audio.count, 2);
    assert_true(audio.samples[0] == 0.5f && audio.samples[1] == -0.5f);
    audio_free(&audio);
}

static void absurd_files_are_refused(void **state) {
    (void)state;
    static const struct {
        unsigned coding, channels, rate, bits, data_bytes;
        const char *part;
    } cases[] = {
        {1, 1, 8000, 16, 0, "no sound at all"},  {1, 1, 8000, 16, 3, "within a sample"},
        {1, 2, 8000, 24, 4, "within a sample"},  {1, 1, 8000, 16, 4000, "cut off"},
        {1, 1, 8000, 16, 0xffffffff, "cut off"}, {6, 1, 8000, 8, 4, "coding"},
        {0xfffe, 1, 8000, 16, 4, "coding"},      {1, 1, 8000, 12, 4, "coding"},
        {3, 1, 8000, 16, 4, "coding"},           {1, 0, 8000, 16, 4, "absurd"},
        {1, 65, 8000, 8, 130, "absurd"},         {1, 1, 0, 16, 4, "absurd"},
        {1, 1, 0x7fffffff, 16, 4, "absurd"},
    };
    audio_t audio;
    wav_file_t file;
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        put_head(&file, cases[i].coding, cases[i].channels, cases[i].rate, cases[i].bits,
                 cases[i].data_bytes);
        memset(file.data + HEAD, 0, 140);
        size_t bytes = HEAD + (cases[i].data_bytes < 140 ? cases[i].data_bytes : 140);
        CHECK_FAILS(decode(file.data, bytes, &audio), STATUS_INPUT, cases[i].part);
    }
    put_head(&file, 3, 1, 8000, 32, 4);
    put(&file, "\0\0\300\177", 4);
    CHECK_FAILS(decode(file.data, file.bytes, &audio), STATUS_INPUT, "not finite");
    memcpy(file.data + 12, "junk", 4);
    CHECK_FAILS(decode(file.data, file.bytes, &audio), STATUS_INPUT, "before its format");
    memcpy(file.data + 36, "junk", 4);
    CHECK_FAILS(decode(file.data, file.bytes, &audio), STATUS_INPUT, "has no data");
    CHECK_FAILS(decode((const uint8_t *)"RIFX", 4, &audio), STATUS_INPUT, "not a WAV");
    CHECK_FAILS(decode((const uint8_t *)"", 0, &audio), STATUS_INPUT, "empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_is_read),
        cmocka_unit_test(other_chunks_are_passed),
        cmocka_unit_test(absurd_files_are_refused),
    };
    return RUN_TESTS(tests);
}
