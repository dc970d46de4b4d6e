/* Pickles that Python and numpy wrote (tests/reference/write_torch_files.py), and hostile ones. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/pickle.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static const pickle_value_t *at(const pickle_value_t *dict, const char *key, pickle_kind_t kind) {
    const pickle_value_t *value = pickle_find(dict, key);
    assert_non_null(value);
    assert_int_equal(value->kind, kind);
    return value;
}

/* Elements i of the array are begin + i * step. */
static void check_counted(const pickle_value_t *value, const char *dims, double begin,
                          double step) {
    const pickle_array_t *array = value->u.array;
    char text[64] = "";
    for (int d = 0; d < array->rank; d++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", d > 0 ? "," : "",
                 (int)array->dims[d]);
    }
    assert_string_equal(text, dims);
    for (int64_t i = 0; i < array->count; i++) {
        const char *number = array->data + pickle_array_place(array, i) * array->type.bytes;
        assert_true(number_read(number, array->type) == begin + (double)i * step);
    }
}

static void check_train(const pickle_value_t *train) {
    static const int64_t lengths[] = {3, 250, 70000, -5, INT64_C(1) << 40};
    check_counted(at(train, "text", PICKLE_ARRAY), "2,3,4", 0.0, 1.0);
    check_counted(at(train, "fortran", PICKLE_ARRAY), "3,4", 0.0, 1.0);
    check_counted(at(train, "double", PICKLE_ARRAY), "3", 0.0, 0.5);
    check_counted(at(train, "big", PICKLE_ARRAY), "4", -1.0, 1.0);
    check_counted(at(train, "half", PICKLE_ARRAY), "3", 0.0, 0.25);
    check_counted(at(train, "yes", PICKLE_ARRAY), "2", 1.0, -1.0);
    check_counted(at(train, "empty", PICKLE_ARRAY), "0,5", 0.0, 0.0);
    const pickle_array_t *id = at(train, "id", PICKLE_ARRAY)->u.array;
    assert_int_equal(id->type.kind, 'U');
    assert_int_equal(id->type.bytes, 20);
    assert_memory_equal(id->data, "a\0\0\0$\0\0\0_\0\0\0$\0\0\0001\0\0\0b\0\0\0c", 25);
    const pickle_value_t *raw = at(train, "raw_text", PICKLE_LIST);
    assert_int_equal(raw->u.list.count, 3);
    assert_true(pickle_text_is(raw->u.list.items[2]->u.text, "three"));
    assert_int_equal(raw->u.list.items[1]->kind, PICKLE_NONE);
    const pickle_value_t *list = at(train, "lengths", PICKLE_LIST);
    assert_int_equal(list->u.list.count, 5);
    for (int i = 0; i < 5; i++) {
        assert_true(list->u.list.items[i]->u.integer == lengths[i]);
    }
}

static void every_protocol_reads_the_same(void **state) {
    (void)state;
    for (int protocol = 2; protocol <= 5; protocol++) {
        char *path = text_format(SOURCE_DIR "/tests/unit/torch/features-%d.pkl", protocol);
        char *data = NULL;
        size_t bytes = 0;
        pickle_t *pickle = NULL;
        CHECK_OK(file_read(path, &data, &bytes));
        CHECK_OK(pickle_read(path, data, bytes, &pickle));
        assert_int_equal(pickle_bytes(pickle), bytes);
        const pickle_value_t *root = pickle_root(pickle);
        check_train(at(root, "train", PICKLE_DICT));
        assert_true(at(root, "score", PICKLE_FLOAT)->u.real == 0.75);
        assert_int_equal(at(root, "number", PICKLE_INT)->u.integer, -9);
        at(root, "nothing", PICKLE_NONE);
        const pickle_value_t *pair = at(root, "pair", PICKLE_TUPLE);
        assert_int_equal(pair->u.list.items[1]->kind, PICKLE_BYTES);
        assert_int_equal(pair->u.list.items[1]->u.text.bytes, 3);
        assert_memory_equal(pair->u.list.items[1]->u.text.data, "\0\xff\x80", 3);
        assert_true(at(at(root, "ordered", PICKLE_DICT), "x", PICKLE_BOOL)->u.truth);
        for (size_t cut = 0; cut < bytes; cut++) { /* no byte of it can be missing */
            pickle_t *part = NULL;
            char *copy = alloc_zero((int64_t)cut + 1, 1); /* its end is watched by asan */
            memcpy(copy, data, cut);
            assert_int_equal(pickle_read("cut", copy, cut, &part), STATUS_INPUT);
            free(copy);
        }
        pickle_close(pickle);
        free(data);
        free(path);
    }
}

#define REFUSED(text, why) check_refused(text, sizeof(text) - 1, why)
static void check_refused(const char *data, size_t bytes, const char *why) {
    pickle_t *pickle = NULL;
    CHECK_FAILS(pickle_read("it", data, bytes, &pickle), STATUS_INPUT, why);
}

static void nothing_is_called(void **state) {
    (void)state;
    char path[] = "/tmp/jmt-pickle-XXXXXX";
    assert_non_null(mkdtemp(path));
    char *command = text_format("touch %s/it", path), *made = text_format("%s/it", path);
    char *text = text_format("%ccos\nsystem\n(U%c%s", 0x80, (int)strlen(command), command);
    char data[256] = "\x80\x02";
    int bytes = 2 + snprintf(data + 2, sizeof data - 2, "%stR.", text + 1);
    check_refused(data, (size_t)bytes, "it: the pickle asks for os.system");
    assert_false(file_exists(made));
    CHECK_OK(dir_remove(path));
    free(text);
    free(made);
    free(command);
    REFUSED("\x80\x04\x8c\x08"
            "builtins\x8c\x04"
            "eval\x93.",
            "builtins.eval");
    REFUSED("\x80\x02"
            "c__builtin__\ngetattr\n.",
            "__builtin__.getattr");
    REFUSED("\x80\x02"
            "cargparse\nNamespace\n)\x81.",
            "argparse.Namespace");
    REFUSED("\x80\x02"
            "cnumpy\nndarray\n)R.",
            "a type where a function belongs");
    REFUSED("\x80\x02"
            "cnumpy\nndarray\n.",
            "no data but a function");
    REFUSED("\x80\x02]cnumpy\nndarray\na.", "where data belongs");
    REFUSED("\x80\x02K\1)R.", "what is called is no function");
    REFUSED("\x80\x02}K\1\x81.", "an unknown operation");
}

static void what_is_damaged_is_refused(void **state) {
    (void)state;
    REFUSED("", "another protocol");
    REFUSED("(dp0\n.", "another protocol"); /* protocol 0 */
    REFUSED("\x80\x06N.", "another protocol");
    REFUSED("\x80\x02.", "its stack is empty");
    REFUSED("\x80\x02t.", "a mark is missing");
    REFUSED("\x80\x02N(.", "its stack is empty"); /* what is below the mark */
    REFUSED("\x80\x02h\5.", "its memo has nothing");
    REFUSED("\x80\x02Nj\xff\xff\xff\xff.", "its memo has nothing");
    REFUSED("\x80\x02Nr\xff\xff\xff\xff.", "memo is too large");
    REFUSED("\x80\x02X\xff\xff\xff\x7f.", "it is cut off");
    REFUSED("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "it is cut off");
    REFUSED("\x80\x02\x8b\xff\xff\xff\x7f.", "it is cut off");
    REFUSED("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "it is cut off");
    REFUSED("\x80\x02\x8a\x09\1\2\3\4\5\6\7\10\11.", "more than 64 bits");
    REFUSED("\x80\x02}K\1s.", "its stack is empty");
    REFUSED("\x80\x02}(K\1u.", "takes none");
    REFUSED("\x80\x02]K\1K\2s.", "takes none");
    REFUSED("\x80\x02]}b.", "an object with a state");
}

static void what_holds_itself_is_refused(void **state) {
    (void)state;
    REFUSED("\x80\x02]q\0h\0a.", "holds itself");
    REFUSED("\x80\x02]q\0]q\1h\0ah\1a.", "holds itself");
    REFUSED("\x80\x02}q\0K\1h\0s.", "holds itself");
    char deep[600] = "\x80\x02"; /* ((((...)))) */
    memset(deep + 2, ')', 1);
    memset(deep + 3, '\x85', PICKLE_DEPTH_MAX);
    deep[3 + PICKLE_DEPTH_MAX] = '.';
    check_refused(deep, 4 + PICKLE_DEPTH_MAX, "nested too deep");
    /* Each list holds the one before ten times: 10^20 values for whoever walks them. */
    char many[1024] = "\x80\x02]q";
    int bytes = 5;
    for (int i = 1; i <= 20; i++) {
        many[bytes++] = ']';
        many[bytes++] = 'q';
        many[bytes++] = (char)i;
        many[bytes++] = '(';
        for (int j = 0; j < 10; j++) {
            many[bytes++] = 'h';
            many[bytes++] = (char)(i - 1);
        }
        many[bytes++] = 'e';
    }
    many[bytes++] = '.';
    check_refused(many, (size_t)bytes, "more values than are read");
}

#define ARRAY_HEAD                                                                                 \
    "\x80\x02"                                                                                     \
    "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR"
#define DTYPE(name)                                                                                \
    "cnumpy\ndtype\n(U\2" name "K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
static void arrays_fit_their_bytes(void **state) {
    (void)state;
    pickle_t *pickle = NULL;
    static const char good[] = ARRAY_HEAD "(K\1K\2\x85" DTYPE("i1") "\x89U\2abtb.";
    CHECK_OK(pickle_read("it", good, sizeof good - 1, &pickle));
    check_counted(pickle_root(pickle), "2", 'a', 1.0);
    pickle_close(pickle);
    REFUSED(ARRAY_HEAD "(K\1K\3\x85" DTYPE("i1") "\x89U\2abtb.", "does not fit its shape");
    REFUSED(ARRAY_HEAD "(K\1K\2\x85" DTYPE("f4") "\x89U\2abtb.", "does not fit its shape");
    REFUSED(ARRAY_HEAD "(K\1J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87" DTYPE(
                "i1") "\x89U\2abtb.",
            "does not fit its shape");
    REFUSED(ARRAY_HEAD "(K\1J\xff\xff\xff\xff\x85" DTYPE("i1") "\x89U\2abtb.", "without its shape");
    REFUSED(ARRAY_HEAD "(K\1K\2\x85" DTYPE("M8") "\x89U\2abtb.", "another type than");
    REFUSED(ARRAY_HEAD ".", "no data but a function");
    REFUSED(ARRAY_HEAD "q\0(K\1h\0\x85h\0\x89h\0tb.", "holds itself");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_protocol_reads_the_same),
        cmocka_unit_test(nothing_is_called),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test(what_holds_itself_is_refused),
        cmocka_unit_test(arrays_fit_their_bytes),
    };
    return RUN_TESTS(tests);
}
