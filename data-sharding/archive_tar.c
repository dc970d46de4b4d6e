/* POSIX ustar and pax, GNU's long names, and the old format: what tar and Python's tarfile write.
 *
 * A library could unpack these, but none in Debian gives the places of the data for later. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data-sharding/archive_internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { BLOCK = 512, NAME_BYTES = 100, PREFIX_BYTES = 155, EXTENDED_BYTES_MAX = 1 << 20 };

typedef struct tar {
    int fd;
    const char *path;
    int64_t bytes, at;
    /* Said by an extended header about the next member: */
    char *name;
    int64_t size; /* -1: nothing */
} tar_t;

static status_t refuse(const tar_t *tar, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %s at byte %lld; write the archive again", tar->path, why,
                       (long long)tar->at);
}

/* Octal digits between spaces and NULs, or, with the highest bit set, 256 as the base. */
static bool parse_number(const uint8_t *field, int bytes, int64_t *value_out) {
    int64_t value = 0;
    int i = 0;
    if ((field[0] & 0x80) != 0) {
        for (i = 0; i < bytes; i++) {
            if (value > INT64_MAX >> 9) {
                return false;
            }
            value = value * 256 + (i == 0 ? field[i] & 0x7f : field[i]);
        }
        *value_out = value;
        return true;
    }
    while (i < bytes && field[i] == ' ') {
        i++;
    }
    for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value > INT64_MAX >> 4) {
            return false;
        }
        value = value * 8 + (field[i] - '0');
    }
    for (; i < bytes; i++) {
        if (field[i] != ' ' && field[i] != '\0') {
            return false;
        }
    }
    *value_out = value;
    return true;
}

/* The sum of all bytes, those of the sum itself counted as spaces. */
static bool sum_fits(const uint8_t *block) {
    int64_t stated = 0, sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    }
    return parse_number(block + 148, 8, &stated) && stated == sum;
}

static bool is_zero(const uint8_t *block) {
    return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

int tar_begins(const uint8_t block[BLOCK]) { return is_zero(block) || sum_fits(block); }

static status_t read_block(const tar_t *tar, uint8_t block[BLOCK]) {
    if (tar->bytes - tar->at < BLOCK) {
        return refuse(tar, "the .tar is cut off: it has no end mark");
    }
    return file_pread(tar->fd, tar->path, tar->at, BLOCK, block);
}

/* --- what extended headers say -------------------------------------------------------------- */

/* The member's data, as text. */
static status_t read_extended(const tar_t *tar, int64_t bytes, char **text_out) {
    if (bytes < 1 || bytes > EXTENDED_BYTES_MAX) {
        return refuse(tar, "an extended header of an absurd length");
    }
    char *text = alloc_zero(bytes + 1, 1);
    status_t status = file_pread(tar->fd, tar->path, tar->at + BLOCK, bytes, text);
    if (status != STATUS_OK) {
        free(text);
        return status;
    }
    *text_out = text;
    return STATUS_OK;
}

static bool is_key(const char *record, const char *key) {
    return strncmp(record, key, strlen(key)) == 0;
}

/* KEY=VALUE, ended by NUL. for_all: it stands for all members behind it. */
static status_t take_record(tar_t *tar, const char *record, bool for_all) {
    bool is_path = is_key(record, "path="), is_size = is_key(record, "size=");
    if (is_key(record, "GNU.sparse.")) {
        return refuse(tar, "a sparse file (tar without --sparse writes plain ones)");
    }
    if ((is_path || is_size) && for_all) {
        return refuse(tar, "one name or size for all members");
    }
    if (is_path) {
        free(tar->name);
        tar->name = text_copy(record + strlen("path="));
    } else if (is_size) {
        char *end;
        long long size = strtoll(record + strlen("size="), &end, 10);
        if (record[5] < '0' || record[5] > '9' || *end != '\0' || size == INT64_MAX) {
            return refuse(tar, "a size that is no number");
        }
        tar->size = size;
    }
    return STATUS_OK;
}

/* "LENGTH KEY=VALUE\n" one behind the other, LENGTH counting all of it. */
static status_t take_records(tar_t *tar, char *text, int64_t bytes, bool for_all) {
    for (int64_t at = 0; at < bytes;) {
        char *end;
        long long length = strtoll(text + at, &end, 10);
        int64_t digits = end - (text + at);
        if (text[at] < '0' || text[at] > '9' || *end != ' ' || length < digits + 3 ||
            length > bytes - at || text[at + length - 1] != '\n') {
            return refuse(tar, "a damaged extended header");
        }
        text[at + length - 1] = '\0';
        const char *record = end + 1;
        if ((int64_t)strlen(record) != length - digits - 2 && is_key(record, "path=")) {
            return refuse(tar, "a name with a NUL in it");
        }
        TRY(take_record(tar, record, for_all));
        at += length;
    }
    return STATUS_OK;
}

static status_t take_extended(tar_t *tar, char type, int64_t bytes) {
    char *text = NULL;
    TRY(read_extended(tar, bytes, &text));
    status_t status = STATUS_OK;
    if (type == 'L') {
        free(tar->name);
        tar->name = text_copy(text);
    } else if (type != 'K') {
        status = take_records(tar, text, bytes, type == 'g');
    }
    free(text);
    return status;
}

/* --- members -------------------------------------------------------------------------------- */

/* What the header itself calls it; the caller frees. */
static char *header_name(const uint8_t *block) {
    const char *name = (const char *)block, *prefix = (const char *)block + 345;
    bool posix = memcmp(block + 257, "ustar\0", 6) == 0;
    if (posix && prefix[0] != '\0') {
        return text_format("%.*s/%.*s", PREFIX_BYTES, prefix, NAME_BYTES, name);
    }
    return text_format("%.*s", NAME_BYTES, name);
}

static status_t add_member(tar_t *tar, const uint8_t *block, int64_t bytes, archive_list_t *list) {
    char *name = tar->name != NULL ? tar->name : header_name(block);
    tar->name = NULL;
    status_t status = archive_add(list, tar->path, name, strlen(name), bytes, tar->at + BLOCK);
    free(name);
    return status;
}

static status_t take_member(tar_t *tar, const uint8_t *block, archive_list_t *list) {
    char type = (char)block[156];
    int64_t bytes = 0;
    if (!sum_fits(block) || !parse_number(block + 124, 12, &bytes)) {
        return refuse(tar, "a damaged header in the .tar");
    }
    bool extended = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    if (!extended && tar->size >= 0) {
        bytes = tar->size;
        tar->size = -1;
    }
    if (bytes > tar->bytes - tar->at - BLOCK) {
        return refuse(tar, "the .tar is cut off in a member");
    }
    status_t status = STATUS_OK;
    if (extended) {
        status = take_extended(tar, type, bytes);
    } else if (type == '0' || type == '\0' || type == '7') {
        status = add_member(tar, block, bytes, list);
    } else if (bytes == 0 && (type == '5' || type == '3' || type == '4' || type == '6')) {
        free(tar->name); /* folders, devices, pipes */
        tar->name = NULL;
    } else {
        status = refuse(tar, type == '1' || type == '2'
                                 ? "a link (tar --dereference --hard-dereference follows them)"
                                 : "a member of an unknown kind");
    }
    tar->at += BLOCK + align_up(bytes, BLOCK);
    return status;
}

/* Behind the end mark there is padding alone: members of a second archive would be overlooked. */
static status_t check_end(tar_t *tar) {
    uint8_t block[BLOCK];
    while (tar->bytes - tar->at >= BLOCK) {
        TRY(read_block(tar, block));
        if (!is_zero(block)) {
            return refuse(tar, "something behind the end of the .tar");
        }
        tar->at += BLOCK;
    }
    return STATUS_OK;
}

static status_t take_members(tar_t *tar, archive_list_t *list) {
    uint8_t block[BLOCK];
    for (;;) {
        TRY(read_block(tar, block));
        if (is_zero(block)) {
            break;
        }
        TRY(take_member(tar, block, list));
    }
    if (tar->name != NULL || tar->size >= 0) {
        return refuse(tar, "an extended header without its member");
    }
    return check_end(tar);
}

status_t tar_list(int fd, const char *path, archive_list_t *list) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return status_fail_errno(STATUS_FAILED, "cannot read %s", path);
    }
    tar_t tar = {.fd = fd, .path = path, .bytes = info.st_size, .size = -1};
    status_t status = take_members(&tar, list);
    free(tar.name);
    return status;
}
