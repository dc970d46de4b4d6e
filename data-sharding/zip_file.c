/* The archive is read by its central directory alone, as PKWARE's APPNOTE lays it out; a member's
 * own header must agree with it. */
#include "data-sharding/zip_file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_BYTES_MAX = 0xffff,
    DIRECTORY_BYTES_MAX = 1 << 30, /* some millions of members */
    MEMBER_BYTES_MAX = 1 << 30,
    DEFLATE_RATIO_MAX = 1032, /* no deflated byte can stand for more */
    ENCRYPTED = 1 | 1 << 6 | 1 << 13,
    STORED = 0,
    DEFLATED = 8,
};

struct zip {
    int fd;
    char *path;
    uint64_t bytes, directory_at, directory_bytes, entries;
    uint8_t *directory;
    zip_member_t *members; /* [entries] */
};

static unsigned u16(const uint8_t *at) { return at[0] | (unsigned)at[1] << 8; }
static uint32_t u32(const uint8_t *at) { return u16(at) | (uint32_t)u16(at + 2) << 16; }
static uint64_t u64(const uint8_t *at) { return u32(at) | (uint64_t)u32(at + 4) << 32; }

static status_t refuse(const zip_t *zip, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %s; write it again", zip->path, why);
}

static status_t refuse_member(const zip_t *zip, const zip_member_t *m, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %.*s: %s; write the archive again", zip->path,
                       (int)m->name_bytes, m->name, why);
}

static status_t read_at(const zip_t *zip, uint64_t offset, size_t bytes, void *out) {
    if (offset > zip->bytes || bytes > zip->bytes - offset) {
        return refuse(zip, "the zip archive is cut off or damaged");
    }
    return file_pread(zip->fd, zip->path, (int64_t)offset, (int64_t)bytes, out);
}

/* --- the directory --------------------------------------------------------------------------- */

/* The end record lies behind everything but its own comment. */
static status_t find_end(const zip_t *zip, uint64_t *end_out, uint8_t end[END_BYTES]) {
    uint64_t tail =
        zip->bytes < END_BYTES + COMMENT_BYTES_MAX ? zip->bytes : END_BYTES + COMMENT_BYTES_MAX;
    uint8_t *data = alloc_zero((int64_t)tail + 1, 1);
    status_t status = read_at(zip, zip->bytes - tail, (size_t)tail, data);
    int64_t at = (int64_t)tail - END_BYTES;
    while (status == STATUS_OK && at >= 0 &&
           (memcmp(data + at, "PK\5\6", 4) != 0 ||
            u16(data + at + 20) != tail - (uint64_t)at - END_BYTES)) {
        at--;
    }
    if (status == STATUS_OK && at < 0) {
        status = refuse(zip, "not a zip archive, or cut off");
    }
    if (status == STATUS_OK) {
        memcpy(end, data + at, END_BYTES);
        *end_out = zip->bytes - tail + (uint64_t)at;
    }
    free(data);
    return status;
}

/* Where numbers do not fit the end record, a second one before it has them in 64 bits; some writers
 * (PyTorch's) always have it. */
static status_t read_end64(zip_t *zip, bool needed, uint64_t *end) {
    uint8_t locator[LOCATOR_BYTES] = {0}, end64[END64_BYTES];
    if (*end >= LOCATOR_BYTES) {
        TRY(read_at(zip, *end - LOCATOR_BYTES, sizeof locator, locator));
    }
    uint64_t at = u64(locator + 8);
    if (memcmp(locator, "PK\6\7", 4) != 0) {
        return needed ? refuse(zip, "the zip archive has no 64-bit directory") : STATUS_OK;
    }
    TRY(read_at(zip, at, sizeof end64, end64));
    if (memcmp(end64, "PK\6\6", 4) != 0) {
        return refuse(zip, "the zip archive has no 64-bit directory");
    }
    if (u32(end64 + 16) != 0 || u32(end64 + 20) != 0 || u64(end64 + 24) != u64(end64 + 32)) {
        return refuse(zip, "the zip archive is in several parts");
    }
    zip->entries = u64(end64 + 32);
    zip->directory_bytes = u64(end64 + 40);
    zip->directory_at = u64(end64 + 48);
    *end = at;
    return STATUS_OK;
}

static status_t read_directory(zip_t *zip) {
    uint8_t end[END_BYTES];
    uint64_t at = 0;
    TRY(find_end(zip, &at, end));
    zip->entries = u16(end + 10);
    zip->directory_bytes = u32(end + 12);
    zip->directory_at = u32(end + 16);
    bool wide = zip->entries == 0xffff || zip->directory_bytes == 0xffffffff ||
                zip->directory_at == 0xffffffff;
    if (!wide && (u16(end + 4) != 0 || u16(end + 6) != 0 || u16(end + 8) != zip->entries)) {
        return refuse(zip, "the zip archive is in several parts");
    }
    TRY(read_end64(zip, wide, &at));
    if (zip->directory_at > at || zip->directory_bytes != at - zip->directory_at ||
        zip->directory_bytes > DIRECTORY_BYTES_MAX) {
        return refuse(zip, "the directory of the zip archive is damaged");
    }
    zip->directory = alloc_zero((int64_t)zip->directory_bytes + 1, 1);
    return read_at(zip, zip->directory_at, (size_t)zip->directory_bytes, zip->directory);
}

/* Sizes that do not fit 32 bits are in an extra field, in this order, each only if it is needed. */
static bool widen(const uint8_t *extra, size_t bytes, zip_member_t *member) {
    uint64_t *const wide[] = {&member->plain, &member->packed, &member->header_at};
    while (bytes >= 4) {
        size_t length = u16(extra + 2), used = 0;
        if (length > bytes - 4) {
            return false;
        }
        for (int i = 0; u16(extra) == 1 && i < ARRAY_LEN(wide); i++) {
            if (*wide[i] == 0xffffffff) {
                if (length - used < 8) {
                    return false;
                }
                *wide[i] = u64(extra + 4 + used);
                used += 8;
            }
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return true;
}

/* Takes the entry at *at and moves behind it. */
static status_t take_entry(const zip_t *zip, uint64_t *at, zip_member_t *member_out) {
    const uint8_t *e = zip->directory + *at;
    uint64_t left = zip->directory_bytes - *at;
    if (left < ENTRY_BYTES || memcmp(e, "PK\1\2", 4) != 0 ||
        left - ENTRY_BYTES < (uint64_t)u16(e + 28) + u16(e + 30) + u16(e + 32)) {
        return refuse(zip, "the directory of the zip archive is damaged");
    }
    zip_member_t member = {.name = (const char *)e + ENTRY_BYTES,
                           .name_bytes = (uint16_t)u16(e + 28),
                           .flags = (uint16_t)u16(e + 8),
                           .method = (uint16_t)u16(e + 10),
                           .disk = (uint16_t)u16(e + 34),
                           .mode = (uint16_t)u16(e + 40),
                           .crc = u32(e + 16),
                           .packed = u32(e + 20),
                           .plain = u32(e + 24),
                           .header_at = u32(e + 42)};
    if (!widen(e + ENTRY_BYTES + u16(e + 28), u16(e + 30), &member)) {
        return refuse(zip, "the directory of the zip archive is damaged");
    }
    *at += (uint64_t)ENTRY_BYTES + u16(e + 28) + u16(e + 30) + u16(e + 32);
    *member_out = member;
    return STATUS_OK;
}

static status_t take_entries(zip_t *zip) {
    uint64_t at = 0;
    if (zip->entries > zip->directory_bytes / ENTRY_BYTES) {
        return refuse(zip, "the directory of the zip archive is damaged");
    }
    zip->members = alloc_zero((int64_t)zip->entries + 1, sizeof *zip->members);
    for (uint64_t i = 0; i < zip->entries; i++) {
        TRY(take_entry(zip, &at, &zip->members[i]));
    }
    return at == zip->directory_bytes ? STATUS_OK
                                      : refuse(zip, "the directory of the zip archive is damaged");
}

const zip_member_t *zip_members(const zip_t *zip, int64_t *count_out) {
    *count_out = (int64_t)zip->entries;
    return zip->members;
}

static bool is_called(const zip_member_t *m, const char *member, const char *suffix) {
    size_t bytes = strlen(member), more = strlen(suffix);
    return (m->name_bytes == bytes ||
            (m->name_bytes == bytes + more && memcmp(m->name + bytes, suffix, more) == 0)) &&
           memcmp(m->name, member, bytes) == 0;
}

status_t zip_find(const zip_t *zip, const char *member, const char *suffix,
                  const zip_member_t **member_out) {
    uint64_t found = 0;
    const zip_member_t *last = NULL;
    for (uint64_t i = 0; i < zip->entries; i++) {
        if (member[0] == '\0' || is_called(&zip->members[i], member, suffix)) {
            last = &zip->members[i];
            found++;
        }
    }
    if (found == 1) {
        *member_out = last;
        return STATUS_OK;
    }
    if (member[0] == '\0') {
        return status_fail(STATUS_INPUT, "%s: has %llu members; name one in the column \"dataset\"",
                           zip->path, (unsigned long long)found);
    }
    return status_fail(STATUS_INPUT, "%s: has %s called %s; repair the manifest", zip->path,
                       found == 0 ? "no member" : "several members", member);
}

/* --- a member -------------------------------------------------------------------------------- */

static status_t check_member(const zip_t *zip, const zip_member_t *m) {
    if ((m->flags & ENCRYPTED) != 0) {
        return refuse_member(zip, m, "the member is encrypted");
    }
    if (m->disk != 0) {
        return refuse(zip, "the zip archive is in several parts");
    }
    if (m->method != STORED && m->method != DEFLATED) {
        return refuse_member(zip, m, "the member is packed in another way than stored or deflated");
    }
    if (m->plain > MEMBER_BYTES_MAX) {
        return status_fail(STATUS_INPUT,
                           "%s: %.*s: a member of more than 1 GiB; put it beside the archive",
                           zip->path, (int)m->name_bytes, m->name);
    }
    if (m->method == STORED
            ? m->packed != m->plain
            : m->packed > 2 * m->plain + 1024 || m->plain / DEFLATE_RATIO_MAX > m->packed) {
        return refuse_member(zip, m, "the lengths of the member do not fit each other");
    }
    return STATUS_OK;
}

/* Where the member's bytes begin: behind its own header, which says the same as the directory. */
static status_t find_data(const zip_t *zip, const zip_member_t *m, uint64_t *at_out) {
    uint8_t local[LOCAL_BYTES];
    TRY(read_at(zip, m->header_at, sizeof local, local));
    uint64_t at = m->header_at + LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    bool same = memcmp(local, "PK\3\4", 4) == 0 && u16(local + 6) == m->flags &&
                u16(local + 8) == m->method && u16(local + 26) == m->name_bytes &&
                at <= zip->directory_at && m->packed <= zip->directory_at - at;
    if (same) {
        char name[0xffff];
        TRY(read_at(zip, m->header_at + LOCAL_BYTES, m->name_bytes, name));
        same = memcmp(name, m->name, m->name_bytes) == 0;
    }
    if (!same) {
        return refuse_member(zip, m, "the member's header and the directory do not agree");
    }
    *at_out = at;
    return STATUS_OK;
}

static bool inflate_all(uint8_t *packed, size_t packed_bytes, uint8_t *plain, size_t plain_bytes) {
    z_stream stream = {.next_in = packed, .avail_in = (uInt)packed_bytes};
    REQUIRE(inflateInit2(&stream, -MAX_WBITS) == Z_OK);
    stream.next_out = plain;
    stream.avail_out = (uInt)plain_bytes;
    bool whole =
        inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
    inflateEnd(&stream);
    return whole;
}

status_t zip_read(const zip_t *zip, const zip_member_t *m, char **data_out) {
    uint64_t at = 0;
    TRY(check_member(zip, m));
    TRY(find_data(zip, m, &at));
    uint8_t *packed = alloc_zero((int64_t)m->packed + 1, 1), *plain = packed;
    status_t status = read_at(zip, at, (size_t)m->packed, packed);
    bool whole = true;
    if (status == STATUS_OK && m->method == DEFLATED) {
        plain = alloc_zero((int64_t)m->plain + 1, 1);
        whole = inflate_all(packed, (size_t)m->packed, plain, (size_t)m->plain);
        free(packed);
    }
    if (status == STATUS_OK && (!whole || crc32(0, plain, (uInt)m->plain) != m->crc)) {
        status = refuse_member(zip, m, "the member is damaged");
    }
    if (status != STATUS_OK) {
        free(plain);
        return status;
    }
    *data_out = (char *)plain;
    return STATUS_OK;
}

status_t zip_open(const char *path, zip_t **zip_out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        return status_fail_errno(STATUS_INPUT, "cannot open %s", path);
    }
    zip_t *zip = alloc_zero(1, sizeof *zip);
    *zip = (zip_t){.fd = fd, .path = text_copy(path)};
    zip->bytes = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    status_t status = read_directory(zip);
    if (status == STATUS_OK) {
        status = take_entries(zip);
    }
    if (status != STATUS_OK) {
        zip_close(zip);
        return status;
    }
    *zip_out = zip;
    return STATUS_OK;
}

void zip_close(zip_t *zip) {
    if (zip != NULL) {
        close(zip->fd);
        free(zip->path);
        free(zip->directory);
        free(zip->members);
        free(zip);
    }
}
