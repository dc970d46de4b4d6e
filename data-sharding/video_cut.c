/* The library reads a file that is cut off as far as it goes and often calls that its end, so the
 * lengths that the outermost parts of the containers state are looked at first. A .flac has none,
 * but counts its samples. */
#include <string.h>

#include "data-sharding/video_file.h"
#include "kernels/base/bytes.h"

enum { HEAD_BYTES = 16 };

static uint64_t big_endian(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* How long the part that begins here is; 0: it does not say. */
static uint64_t mov_part(const uint8_t *head) {
    uint64_t bytes = big_endian(head, 4);
    return bytes == 1 ? big_endian(head + 8, 8) : bytes;
}

static uint64_t riff_part(const uint8_t *head) {
    uint64_t bytes =
        head[4] | (uint64_t)head[5] << 8 | (uint64_t)head[6] << 16 | (uint64_t)head[7] << 24;
    return bytes == 0 ? 0 : 8 + bytes;
}

/* An identifier of four bytes and a length whose leading zeros say how long it is itself. */
static uint64_t matroska_part(const uint8_t *head) {
    int more = 0;
    while (more < 8 && (head[4] & 0x80 >> more) == 0) {
        more++;
    }
    if (more == 8) {
        return UINT64_MAX;
    }
    uint64_t ones = (UINT64_C(1) << (7 * (more + 1))) - 1;
    uint64_t bytes = big_endian(head + 4, more + 1) & ones;
    return bytes == ones ? 0 : bytes + 5 + (uint64_t)more; /* all ones: not known */
}

static bool is_riff(const uint8_t *head) { return memcmp(head, "RIFF", 4) == 0; }

static bool is_matroska(const uint8_t *head) {
    return memcmp(head, "\x1a\x45\xdf\xa3", 4) == 0 || memcmp(head, "\x18\x53\x80\x67", 4) == 0;
}

/* Letters, as all outermost boxes have them: else it is something else that follows. */
static bool is_box(const uint8_t *head) {
    for (int i = 4; i < 8; i++) {
        if (head[i] < 'a' || head[i] > 'z') {
            return false;
        }
    }
    return true;
}

enum kind { OTHER, MOV, RIFF, MATROSKA };

static enum kind kind_of(const uint8_t *head, bool mov) {
    return mov && is_box(head) ? MOV : is_riff(head) ? RIFF : is_matroska(head) ? MATROSKA : OTHER;
}

static uint64_t part_bytes(const uint8_t *head, enum kind kind) {
    return kind == MOV ? mov_part(head) : kind == RIFF ? riff_part(head) : matroska_part(head);
}

static bool is_called(const uint8_t *box, const char *name) {
    return memcmp(box + 4, name, 4) == 0;
}

/* Parts up to the end of the file, or to something of another kind behind them. A .mp4 in fragments
 * says by an index behind them that no more follow. */
static status_t check_parts(const video_file_t *file, bool mov) {
    bool stated = false;
    for (int64_t at = 0; at < file->bytes;) {
        uint8_t head[HEAD_BYTES] = {0};
        TRY(archive_member_read(file->member, at, min_i64(HEAD_BYTES, file->bytes - at), head));
        enum kind kind = kind_of(head, mov);
        if (kind == OTHER) {
            break;
        }
        uint64_t part = part_bytes(head, kind);
        if (part == 0 || (kind == MOV && is_called(head, "moof"))) {
            stated = false;
        } else if (at == 0 || (kind == MOV && is_called(head, "mfra"))) {
            stated = true;
        }
        if (part == 0) {
            break;
        }
        if (part > (uint64_t)(file->bytes - at)) {
            return video_file_refuse(file, "cut off");
        }
        if (part < 8 && mov) {
            return video_file_refuse(file, "damaged");
        }
        at += (int64_t)part;
        at += kind == RIFF && part % 2 != 0; /* padded, but often not at the end */
    }
    return stated ? STATUS_OK
                  : video_file_refuse(file, "a live recording, not of a kind that states its "
                                            "length");
}

status_t video_file_check_length(const video_file_t *file) {
    const char *name = file->format->iformat->name;
    return strcmp(name, "flac") == 0 ? STATUS_OK : check_parts(file, strncmp(name, "mov,", 4) == 0);
}
