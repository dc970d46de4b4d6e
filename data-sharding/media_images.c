#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "data-sharding/media_sink.h"
#include "data-sharding/media_tracks.h"
#include "kernels/base/bytes.h"

typedef struct numbered {
    int64_t frame, index; /* index: of the archive's entry */
} numbered_t;

typedef struct image_list {
    numbered_t *items;
    int64_t count;
} image_list_t;

static int by_frame(const void *a, const void *b) {
    int64_t x = ((const numbered_t *)a)->frame, y = ((const numbered_t *)b)->frame;
    return x < y ? -1 : x > y;
}

/* The digits at the end of the name; -1: none. */
static int64_t frame_of(const char *name) {
    const char *end = strrchr(name, '.'), *begin = end;
    while (begin > name && isdigit((unsigned char)begin[-1])) {
        begin--;
    }
    return begin == end || end - begin > 9 ? -1 : strtoll(begin, NULL, 10);
}

static status_t list_images(const archive_t *archive, const char *prefix, notes_t *notes,
                            image_list_t *list) {
    int64_t count = 0, total = 0, begin = archive_range(archive, prefix, &count);
    const archive_entry_t *entries = archive_entries(archive, &total);
    for (int64_t i = begin; i < begin + count; i++) {
        const char *name = entries[i].name + strlen(prefix);
        if (name[0] == '.' || strchr(name, '/') != NULL) {
            continue;
        }
        int64_t frame = media_is_picture(name) ? frame_of(name) : -1;
        if (frame < 0) {
            notes_add(notes, "files beside pictures that are no numbered .jpg or .png, left out", 1,
                      entries[i].name);
            continue;
        }
        list->items = array_grow(list->items, list->count, sizeof *list->items);
        list->items[list->count++] = (numbered_t){frame, i};
    }
    if (list->count == 0) {
        return status_fail(STATUS_INPUT, "%s/%s: no pictures; they are called 00001.jpg and so on",
                           archive_path(archive), prefix);
    }
    qsort(list->items, (size_t)list->count, sizeof *list->items, by_frame);
    for (int64_t i = 1; i < list->count; i++) {
        if (list->items[i].frame == list->items[i - 1].frame) {
            return status_fail(STATUS_INPUT, "%s: %s and %s are both frame %lld; keep one",
                               archive_path(archive), entries[list->items[i - 1].index].name,
                               entries[list->items[i].index].name, (long long)list->items[i].frame);
        }
    }
    return STATUS_OK;
}

static status_t decode(image_decoder_t *decoder, const archive_t *archive, int64_t index,
                       const uint8_t **rgb_out, int *width_out, int *height_out) {
    int64_t count;
    const char *label = archive_entries(archive, &count)[index].name;
    char *data = NULL;
    size_t bytes = 0;
    TRY(archive_read(archive, index, &data, &bytes));
    status_t status = image_read(decoder, label, data, bytes, rgb_out, width_out, height_out);
    free(data);
    return status;
}

static status_t add_image(media_sink_t *sink, image_decoder_t *decoder, const archive_t *archive,
                          int64_t index, int64_t frame) {
    const uint8_t *rgb = NULL;
    int width = 0, height = 0, side = sink->rules->side;
    status_t status = decode(decoder, archive, index, &rgb, &width, &height);
    if (status == STATUS_INPUT && !sink->rules->strict) {
        notes_add(sink->notes, "pictures that cannot be read, taken as missing", 1, status_text());
        return steps_file_add(sink->out.steps, NULL, 1);
    }
    TRY(status);
    if (sink->boxes == NULL && width == side && height == side) {
        return steps_file_add(sink->out.steps, rgb, 1); /* as it is */
    }
    TRY(media_sink_show(sink, frame, rgb, width, height));
    return media_sink_add(sink);
}

static status_t read_images(media_sink_t *sink, const archive_t *archive, const image_list_t *list,
                            int64_t first, int64_t least) {
    image_decoder_t *decoder = image_decoder_open();
    status_t status = STATUS_OK;
    for (int64_t i = 0; i < list->count && status == STATUS_OK; i++) {
        int64_t frame = list->items[i].frame - first;
        int64_t gap = frame - steps_file_count(sink->out.steps);
        notes_add(sink->notes, "frames without a picture, taken as missing", gap, NULL);
        status = steps_file_add(sink->out.steps, NULL, gap);
        if (status == STATUS_OK) {
            status = add_image(sink, decoder, archive, list->items[i].index, frame);
        }
    }
    image_decoder_close(decoder);
    int64_t rest = least - steps_file_count(sink->out.steps);
    if (status == STATUS_OK && rest > 0) {
        notes_add(sink->notes, "frames without a picture, taken as missing", rest, NULL);
        status = steps_file_add(sink->out.steps, NULL, rest);
    }
    sink->out.frames = steps_file_count(sink->out.steps);
    return status;
}

/* A mistyped number must not fill the disk. */
static status_t check_span(const archive_t *archive, const char *prefix, const image_list_t *list) {
    int64_t last = list->items[list->count - 1].frame;
    if (last > 20000 && last / list->count > 200) {
        return status_fail(STATUS_INPUT,
                           "%s/%s: a picture of frame %lld among %lld pictures; count frames from "
                           "the start of the recording",
                           archive_path(archive), prefix, (long long)last, (long long)list->count);
    }
    return STATUS_OK;
}

status_t media_images(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                      const face_boxes_t *boxes, int64_t least, notes_t *notes,
                      media_pictures_t *pictures_out) {
    image_list_t list = {0};
    int64_t first = 0;
    media_sink_t sink;
    char *label = text_format("%s/%s", archive_path(archive), prefix);
    status_t status = list_images(archive, prefix, notes, &list);
    if (status == STATUS_OK) {
        status = first_frame_of(label, list.items[0].frame, rules->first_frame, &first);
    }
    if (status == STATUS_OK) {
        status = check_span(archive, prefix, &list);
    }
    if (status == STATUS_OK) {
        media_sink_open(rules, label, boxes, notes, &sink);
        status =
            media_sink_close(&sink, read_images(&sink, archive, &list, first, least), pictures_out);
    }
    free(list.items);
    free(label);
    return status;
}
