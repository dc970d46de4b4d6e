/* Folders, .zip and .tar as one list: names, order, pieces, a hundred thousand members, archives
 * that are damaged or ambiguous. What foreign programs write is in test_raw_media.py. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "check.h"
#include "data-sharding/archive.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

enum { MANY = 100000 };

/* --- archives by hand ----------------------------------------------------------------------- */

typedef struct bytes {
    char *data;
    size_t count, room;
} bytes_t;

static void add(bytes_t *to, const void *data, size_t count) {
    if (to->count + count > to->room) {
        to->room = 2 * (to->count + count);
        to->data = realloc(to->data, to->room);
        assert_non_null(to->data);
    }
    if (count > 0) {
        memcpy(to->data + to->count, data, count);
        to->count += count;
    }
}

static void add_zeros(bytes_t *to, size_t count) {
    static const char zeros[1024];
    add(to, zeros, count);
}

static void add_number(bytes_t *to, unsigned long value, int count) {
    for (int i = 0; i < count; i++) {
        add(to, &(char){(char)(value >> (8 * i))}, 1);
    }
}

static void seal(char *header) {
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++) {
        sum += (unsigned char)header[i];
    }
    snprintf(header + 148, 8, "%06o", sum);
}

/* The header of a member and its bytes; size as it is to be stated. */
static void tar_add(bytes_t *tar, const char *name, char type, const char *data, const char *size) {
    char header[512] = {0};
    snprintf(header, 100, "%s", name);
    snprintf(header + 124, 12, "%s", size);
    header[156] = type;
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    seal(header);
    add(tar, header, sizeof header);
    add(tar, data, strlen(data));
    add_zeros(tar, (512 - strlen(data) % 512) % 512);
}

static void tar_file(bytes_t *tar, const char *name, const char *data) {
    char size[12];
    snprintf(size, sizeof size, "%o", (unsigned)strlen(data));
    tar_add(tar, name, '0', data, size);
}

/* mode: as stat has it; 0: not stated. */
static void zip_add(bytes_t *zip, bytes_t *directory, const char *name, const char *data,
                    unsigned long mode) {
    unsigned long at = zip->count;
    unsigned crc = (unsigned)crc32(0, (const unsigned char *)data, (unsigned)strlen(data));
    for (int where = 0; where < 2; where++) {
        bytes_t *to = where == 0 ? zip : directory;
        add(to, where == 0 ? "PK\3\4" : "PK\1\2\24\0", where == 0 ? 4 : 6);
        add_number(to, 20, 2); /* version, flags, method, time, date */
        add_zeros(to, 8);
        add_number(to, crc, 4);
        add_number(to, strlen(data), 4);
        add_number(to, strlen(data), 4);
        add_number(to, strlen(name), 2);
        add_zeros(to, where == 0 ? 2 : 8);
        if (where == 1) {
            add_number(to, mode << 16, 4);
            add_number(to, at, 4);
        }
        add(to, name, strlen(name));
    }
    add(zip, data, strlen(data));
}

static void zip_file(bytes_t *zip, bytes_t *directory, const char *name, const char *data) {
    zip_add(zip, directory, name, data, 0);
}

/* With a 64-bit end, as it must be for more than 65,535 members. */
static void zip_end(bytes_t *zip, bytes_t *directory, unsigned long members) {
    unsigned long at = zip->count;
    add(zip, directory->data, directory->count);
    unsigned long end = zip->count;
    add(zip, "PK\6\6", 4);
    add_number(zip, 44, 8);
    add_zeros(zip, 12);
    add_number(zip, members, 8);
    add_number(zip, members, 8);
    add_number(zip, directory->count, 8);
    add_number(zip, at, 8);
    add(zip, "PK\6\7\0\0\0\0", 8);
    add_number(zip, end, 8);
    add_number(zip, 1, 4);
    add(zip, "PK\5\6\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 22);
    free(directory->data);
}

static status_t open_bytes(const char *place, const bytes_t *bytes, archive_t **archive) {
    place_write(place, "it", bytes->data, bytes->count);
    char *path = place_path(place, "it");
    status_t status = archive_open(path, archive);
    free(path);
    return status;
}

/* --- tests ---------------------------------------------------------------------------------- */

static void check_entry(const archive_t *archive, int64_t index, const char *name,
                        const char *wanted) {
    int64_t count = 0;
    const archive_entry_t *entries = archive_entries(archive, &count);
    char *data = NULL, piece[4] = {0};
    size_t bytes = 0;
    archive_member_t *member = NULL;
    assert_true(index < count);
    assert_string_equal(entries[index].name, name);
    assert_int_equal(archive_find(archive, name), index);
    CHECK_OK(archive_read(archive, index, &data, &bytes));
    assert_int_equal(bytes, strlen(wanted));
    assert_int_equal(entries[index].bytes, bytes);
    assert_string_equal(data, wanted);
    free(data);
    CHECK_OK(archive_member_open(archive, index, &member));
    int64_t part = min_i64((int64_t)bytes, 3);
    CHECK_OK(archive_member_read(member, (int64_t)bytes - part, part, piece));
    assert_string_equal(piece, wanted + bytes - (size_t)part);
    archive_member_close(member);
}

static void check_three(const archive_t *archive) {
    int64_t count = 0;
    archive_entries(archive, &count);
    assert_int_equal(count, 4);
    check_entry(archive, 0, "a/1.txt", "one");
    check_entry(archive, 1, "a/2.txt", "");
    check_entry(archive, 2, "a0", "after");
    check_entry(archive, 3, "b/\xc3\xa4/3.txt", "third");
    assert_int_equal(archive_find(archive, "a"), -1);
    assert_int_equal(archive_find(archive, "a/1.tx"), -1);
    assert_int_equal(archive_find(archive, "z"), -1);
    int64_t inside = 0;
    assert_int_equal(archive_range(archive, "a/", &inside), 0);
    assert_int_equal(inside, 2);
    assert_int_equal(archive_range(archive, "b/", &inside), 3);
    assert_int_equal(inside, 1);
    archive_range(archive, "c", &inside);
    assert_int_equal(inside, 0);
    archive_range(archive, "", &inside);
    assert_int_equal(inside, 4);
}

static void kinds_are_alike(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"b/\xc3\xa4/3.txt", "third"}, {"a0", "after"}, {"a/2.txt", ""}, {"a/1.txt", "one"}};
    char *place = place_make(), *folder = place_path(place, "folder");
    bytes_t tar = {0}, zip = {0}, directory = {0};
    archive_t *archive = NULL;
    tar_add(&tar, "./a/", '5', "", "0");
    zip_file(&zip, &directory, "a/", "");
    for (int i = 0; i < ARRAY_LEN(files); i++) {
        char *dotted = text_format("./%s", files[i][0]), *path = place_path(folder, files[i][0]);
        char *parent = text_copy(path);
        *strrchr(parent, '/') = '\0';
        CHECK_OK(dir_make(parent));
        CHECK_OK(file_write_durable(path, files[i][1], strlen(files[i][1])));
        tar_file(&tar, dotted, files[i][1]);
        zip_file(&zip, &directory, files[i][0], files[i][1]);
        free(parent);
        free(path);
        free(dotted);
    }
    add_zeros(&tar, 1024);
    zip_end(&zip, &directory, ARRAY_LEN(files) + 1);
    CHECK_OK(archive_open(folder, &archive));
    check_three(archive);
    archive_close(archive);
    const bytes_t *const packed[] = {&tar, &zip};
    for (int i = 0; i < ARRAY_LEN(packed); i++) {
        CHECK_OK(open_bytes(place, packed[i], &archive));
        check_three(archive);
        archive_close(archive);
    }
    free(tar.data);
    free(zip.data);
    free(folder);
    place_remove(place);
}

static void extended_headers_are_read(void **state) {
    (void)state;
    char *place = place_make(), wide[12] = {(char)0x80};
    bytes_t tar = {0};
    archive_t *archive = NULL;
    tar_add(&tar, "pax", 'g', "13 comment=1\n", "15");
    tar_add(&tar, "pax", 'x', "12 path=p/q\n10 size=2\n", "26");
    tar_add(&tar, "short", '0', "xy", "0");
    tar_add(&tar, "././@LongLink", 'L', "long/name", "11");
    tar_file(&tar, "long", "z");
    wide[11] = 4;
    tar_add(&tar, "base", '0', "4444", "0");
    memcpy(tar.data + tar.count - 1024 + 124, wide, 12);
    seal(tar.data + tar.count - 1024);
    add_zeros(&tar, 10240 % 1024 + 1024);
    CHECK_OK(open_bytes(place, &tar, &archive));
    check_entry(archive, 0, "base", "4444");
    check_entry(archive, 1, "long/name", "z");
    check_entry(archive, 2, "p/q", "xy");
    archive_close(archive);
    free(tar.data);
    place_remove(place);
}

static void check_refused(const char *place, const bytes_t *bytes, const char *part) {
    archive_t *archive = NULL;
    CHECK_FAILS(open_bytes(place, bytes, &archive), STATUS_INPUT, part);
}

static void bad_tars_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        char type;
        const char *data, *size, *part;
    } cases[] = {
        {"a", '1', "", "0", "a link"},
        {"a", '2', "", "0", "a link"},
        {"a", 'S', "", "0", "unknown kind"},
        {"a", '5', "xy", "2", "unknown kind"},
        {"a", '0', "xy", "4000", "cut off in a member"},
        {"a", '0', "xy", "77777777777", "cut off in a member"},
        {"a", '0', "xy", "2x", "a damaged header"},
        {"a", '0', "xy", "-2", "a damaged header"},
        {"/a", '0', "xy", "2", "no path inside"},
        {"../a", '0', "xy", "2", "no path inside"},
        {"a/..", '0', "xy", "2", "no path inside"},
        {"./", '0', "xy", "2", "that of a folder"},
        {"", '0', "xy", "2", "no path inside"},
        {"\xff", '0', "xy", "2", "\"?\" is not UTF-8"},
        {"\xed\xa0\x80", '0', "xy", "2", "is not UTF-8"},
        {"\xc0\xaf", '0', "xy", "2", "is not UTF-8"},
        {"\xe2\x82", '0', "xy", "2", "is not UTF-8"},
        {"a", 'x', "12 path=p/q\n", "14", "without its member"},
        {"a", 'x', "11 path=p/q\n", "14", "damaged extended header"},
        {"a", 'x', "99999999999999999999 path=p\n", "34", "damaged extended header"},
        {"a", 'x', "3 \n", "3", "damaged extended header"},
        {"a", 'x', "path=p/q\n", "11", "damaged extended header"},
        {"a", 'x', "10 size=x\n", "12", "no number"},
        {"a", 'x', "28 size=9223372036854775807\n", "34", "no number"},
        {"a", 'x', "22 GNU.sparse.major=1\n", "26", "sparse"},
        {"a", 'x', "", "0", "absurd length"},
        {"a", 'g', "9 path=a\n", "11", "for all members"},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        bytes_t tar = {0};
        tar_add(&tar, cases[i].name, cases[i].type, cases[i].data, cases[i].size);
        add_zeros(&tar, 1024);
        check_refused(place, &tar, cases[i].part);
        free(tar.data);
    }
    place_remove(place);
}

/* A link's bytes are the path it leads to: read as a file, that would be features. */
static void kinds_of_zip_members(void **state) {
    (void)state;
    static const struct {
        unsigned long mode;
        const char *name, *data, *part; /* NULL: read */
    } cases[] = {
        {0120777, "a", "b", "a link (without -y, zip follows them)"},
        {0100644, "a", "b", NULL},
        {0644, "a", "b", NULL},
        {040755, "d/", "", NULL},
        {010644, "pipe", "", NULL},
        {020644, "device", "", NULL},
        {010644, "pipe", "b", "a member of an unknown kind"},
        {040755, "d", "b", "a member of an unknown kind"},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        bytes_t zip = {0}, directory = {0};
        archive_t *archive = NULL;
        zip_add(&zip, &directory, cases[i].name, cases[i].data, cases[i].mode);
        zip_end(&zip, &directory, 1);
        if (cases[i].part != NULL) {
            check_refused(place, &zip, cases[i].part);
        } else {
            CHECK_OK(open_bytes(place, &zip, &archive));
            int64_t count = -1;
            archive_entries(archive, &count);
            assert_int_equal(count, cases[i].data[0] != '\0');
            archive_close(archive);
        }
        free(zip.data);
    }
    place_remove(place);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    char *place = place_make();
    bytes_t tar = {0}, end = {0}, twice = {0}, behind = {0};
    tar_file(&tar, "a", "text");
    add(&twice, tar.data, tar.count);
    tar_file(&twice, "./a", "other");
    add_zeros(&twice, 1024);
    check_refused(place, &twice, "two members called a");
    add(&end, tar.data, tar.count);
    check_refused(place, &end, "no end mark");
    add_zeros(&end, 511);
    check_refused(place, &end, "no end mark");
    add(&behind, tar.data, tar.count);
    add_zeros(&behind, 1024);
    add(&behind, tar.data, tar.count);
    check_refused(place, &behind, "behind the end");
    tar.data[0] = 'b';
    check_refused(place, &tar, "neither a folder nor a .zip nor a .tar");
    static const char *const texts[][2] = {{"", "neither a folder"},
                                           {"\x1f\x8b and so on", "compressed as a whole"},
                                           {"BZh9", "compressed as a whole"},
                                           {"PK\3\4", "not a zip archive, or cut off"}};
    for (int i = 0; i < ARRAY_LEN(texts); i++) {
        const bytes_t text = {(char *)(uintptr_t)texts[i][0], strlen(texts[i][0]), 0};
        check_refused(place, &text, texts[i][1]);
    }
    archive_t *archive = NULL;
    char *absent = place_path(place, "absent"), *loop = place_path(place, "loop");
    CHECK_FAILS(archive_open(absent, &archive), STATUS_INPUT, "absent");
    CHECK_FAILS(archive_open("/dev/null", &archive), STATUS_INPUT, "neither a folder nor a file");
    CHECK_OK(dir_make(loop));
    char *link = place_path(loop, "back");
    assert_int_equal(symlink(".", link), 0);
    CHECK_FAILS(archive_open(loop, &archive), STATUS_INPUT, "");
    free(link);
    free(loop);
    free(absent);
    free(tar.data);
    free(end.data);
    free(twice.data);
    free(behind.data);
    place_remove(place);
}

/* Every cut of a small archive is refused, and so is every flipped bit of its directory's bytes, or
 * else what is read is what was there. */
static void every_cut_is_refused(void **state) {
    (void)state;
    char *place = place_make();
    bytes_t zip = {0}, directory = {0};
    archive_t *archive = NULL;
    zip_file(&zip, &directory, "a", "text");
    zip_file(&zip, &directory, "b", "more");
    zip_end(&zip, &directory, 2);
    for (size_t count = 0; count < zip.count; count++) {
        const bytes_t cut = {zip.data, count, 0};
        check_refused(place, &cut, "; ");
    }
    for (size_t bit = 0; bit < 8 * zip.count; bit++) {
        zip.data[bit / 8] ^= (char)(1 << bit % 8);
        if (open_bytes(place, &zip, &archive) == STATUS_OK) {
            int64_t at = archive_find(archive, "a");
            char *data = NULL;
            size_t bytes = 0;
            if (at >= 0 && archive_read(archive, at, &data, &bytes) == STATUS_OK) {
                assert_string_equal(data, "text");
                free(data);
            }
            archive_close(archive);
        }
        zip.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(zip.data);
    place_remove(place);
}

static void check_many(const archive_t *archive) {
    int64_t count = 0;
    archive_entries(archive, &count);
    assert_int_equal(count, MANY);
    check_entry(archive, 0, "0/000000.jpg", "000000");
    check_entry(archive, 77777, "7/077777.jpg", "077777");
    assert_int_equal(archive_range(archive, "3/", &count), 30000);
    assert_int_equal(count, 10000);
    for (int64_t i = 0; i < MANY; i += 97) {
        char *data = NULL, name[32];
        size_t bytes = 0;
        snprintf(name, sizeof name, "%06lld", (long long)i);
        CHECK_OK(archive_read(archive, i, &data, &bytes));
        assert_string_equal(data, name);
        free(data);
    }
}

static void a_hundred_thousand_files(void **state) {
    (void)state;
    char *place = place_make();
    bytes_t tar = {0}, zip = {0}, directory = {0};
    for (int i = MANY - 1; i >= 0; i--) {
        char name[32], data[32];
        snprintf(data, sizeof data, "%06d", i);
        snprintf(name, sizeof name, "%d/%06d.jpg", i / 10000, i);
        tar_file(&tar, name, data);
        zip_file(&zip, &directory, name, data);
    }
    add_zeros(&tar, 1024);
    zip_end(&zip, &directory, MANY);
    const bytes_t *const packed[] = {&tar, &zip};
    for (int i = 0; i < ARRAY_LEN(packed); i++) {
        archive_t *archive = NULL;
        CHECK_OK(open_bytes(place, packed[i], &archive));
        check_many(archive);
        archive_close(archive);
    }
    free(tar.data);
    free(zip.data);
    place_remove(place);
}

static void a_file_that_changes_is_noticed(void **state) {
    (void)state;
    char *place = place_make(), *data = NULL;
    size_t bytes = 0;
    archive_t *archive = NULL;
    place_write(place, "a", "1234", 4);
    CHECK_OK(archive_open(place, &archive));
    place_write(place, "a", "12345", 5);
    CHECK_FAILS(archive_read(archive, 0, &data, &bytes), STATUS_FAILED, "size changed");
    archive_close(archive);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_alike),
        cmocka_unit_test(extended_headers_are_read),
        cmocka_unit_test(bad_tars_are_refused),
        cmocka_unit_test(kinds_of_zip_members),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(a_hundred_thousand_files),
        cmocka_unit_test(a_file_that_changes_is_noticed),
    };
    return RUN_TESTS(tests);
}
