#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/safetensors.h"

typedef struct place {
    char dir[64], path[96];
} place_t;

static place_t place(void) {
    place_t p = {.dir = "/tmp/jmt-safetensors-XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/x.safetensors", p.dir);
    return p;
}

static void write_raw(const place_t *p, const char *header, size_t data_bytes) {
    size_t length = strlen(header);
    char *file = alloc_zero((int64_t)(8 + length + data_bytes), 1);
    file[0] = (char)length;
    file[1] = (char)(length >> 8);
    memcpy(file + 8, header, length);
    CHECK_OK(file_write_durable(p->path, file, 8 + length + data_bytes));
    free(file);
}

static void round_trip_keeps_every_byte(void **state) {
    (void)state;
    place_t p = place();
    tensor_set_t out = {0}, in = {0};
    int64_t dims[] = {2, 3}, none = 0;
    float *data = tensor_set_add(&out, "a \"quoted\" name", TENSOR_F32, 2, dims)->data;
    for (int i = 0; i < 6; i++) {
        data[i] = (float)i * 0.1f;
    }
    tensor_set_add(&out, "empty", TENSOR_F64, 1, &none);
    tensor_set_add(&out, "scalar", TENSOR_I64, 0, NULL);
    out.metadata = text_copy("{\"k\":\"v\"}");
    CHECK_OK(safetensors_write(p.path, &out));
    CHECK_OK(safetensors_read(p.path, &in));
    assert_int_equal(in.count, 3);
    const tensor_t *a = tensor_set_find(&in, "a \"quoted\" name");
    assert_non_null(a);
    assert_int_equal(a->dims[1], 3);
    assert_memory_equal(a->data, out.tensors[0].data, 24);
    assert_string_equal(in.metadata, "{\"k\":\"v\"}");
    char x[65], y[65];
    tensor_set_hash(&in, x);
    tensor_set_hash(&out, y);
    assert_string_equal(x, y);
    tensor_set_free(&in);
    tensor_set_free(&out);
    CHECK_OK(dir_remove(p.dir));
}

/* A tensor of a type that nobody reads is no hindrance to the others, unless it is asked for. */
static void some_are_read(void **state) {
    (void)state;
    static const char header[] =
        "{\"ab/x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]},"
        "\"b/x\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"ab/y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    static const char data[] = "0123";
    place_t p = place();
    uint64_t length = strlen(header);
    file_piece_t pieces[] = {{&length, sizeof length}, {header, length}, {data, 4}};
    CHECK_OK(file_write_pieces(p.path, pieces, 3));
    tensor_set_t set = {0};
    CHECK_OK(safetensors_read_some(p.path, "ab/", &set));
    assert_int_equal(set.count, 2);
    assert_memory_equal(tensor_set_find(&set, "ab/x")->data, "123", 3);
    assert_memory_equal(tensor_set_find(&set, "ab/y")->data, "0", 1);
    tensor_set_free(&set);
    CHECK_FAILS(safetensors_read(p.path, &set), STATUS_INPUT, "dtype");
    CHECK_OK(dir_remove(p.dir));
}

/* SHA-256 of "n\0F32\0" "1\0" and the four bytes of 1.0f, computed with sha256sum. */
static void hash_is_the_documented_one(void **state) {
    (void)state;
    tensor_set_t set = {0};
    int64_t one = 1;
    *(float *)tensor_set_add(&set, "n", TENSOR_F32, 1, &one)->data = 1.0f;
    char text[65];
    tensor_set_hash(&set, text);
    assert_string_equal(text, "fbb8b63475c829cf9b83d2661c15ffb07930150168ae5b097b1cf06474197150");
    tensor_set_free(&set);
}

static void hostile_headers_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{",
        "{\"a\":1}",
        "{\"__metadata__\":[]}",
        "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
    };
    place_t p = place();
    for (int i = 0; i < ARRAY_LEN(bad); i++) {
        tensor_set_t set = {0};
        write_raw(&p, bad[i], 8);
        if (safetensors_read(p.path, &set) != STATUS_INPUT) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    tensor_set_t set = {0};
    CHECK_OK(file_write_durable(p.path, "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10));
    CHECK_FAILS(safetensors_read(p.path, &set), STATUS_INPUT, "cut short");
    CHECK_OK(file_write_durable(p.path, "abc", 3));
    CHECK_FAILS(safetensors_read(p.path, &set), STATUS_INPUT, "cut short");
    CHECK_OK(dir_remove(p.dir));
    CHECK_FAILS(safetensors_read(p.path, &set), STATUS_INPUT, "cannot open");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_keeps_every_byte),
        cmocka_unit_test(some_are_read),
        cmocka_unit_test(hash_is_the_documented_one),
        cmocka_unit_test(hostile_headers_are_refused),
    };
    return RUN_TESTS(tests);
}
