#include "data-sharding/media_tracks.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "data-sharding/video.h"
#include "kernels/base/bytes.h"

status_t media_available(void) { return STATUS_OK; }

/* --- pictures to steps ------------------------------------------------------------------------ */

/* Pictures on their way into a steps file. */
typedef struct sink {
    const media_rules_t *rules;
    const char *label;
    const face_boxes_t *boxes;
    picture_fit_t *fit;
    uint8_t *step; /* the last one */
    bool shown;    /* whether it is valid */
    notes_t *notes;
    media_pictures_t out;
} sink_t;

static void sink_open(const media_rules_t *rules, const char *label, const face_boxes_t *boxes,
                      notes_t *notes, sink_t *sink) {
    int64_t bytes = MEDIA_COLOURS * (int64_t)rules->side * rules->side;
    *sink = (sink_t){.rules = rules, .label = label, .boxes = boxes, .notes = notes};
    sink->out.steps = steps_file_open(rules->store, bytes);
    sink->fit = picture_fit_open(rules->side, rules->margin);
    sink->step = alloc_zero(bytes, 1);
}

static status_t sink_close(sink_t *sink, status_t status, media_pictures_t *out) {
    picture_fit_close(sink->fit);
    free(sink->step);
    if (sink->boxes != NULL) {
        notes_add(sink->notes, "boxes of frames after the last, ignored",
                  max_i64(sink->boxes->count - sink->out.frames, 0), sink->label);
        notes_add(sink->notes, "frames with several faces, of which one is taken",
                  sink->boxes->several, sink->label);
    }
    if (status != STATUS_OK) {
        steps_file_close(sink->out.steps);
        return status;
    }
    *out = sink->out;
    return STATUS_OK;
}

static status_t add_last(sink_t *sink) {
    return steps_file_add(sink->out.steps, sink->shown ? sink->step : NULL, 1);
}

/* The picture becomes the sink's step; without a face it is none. */
static status_t show(sink_t *sink, int64_t frame, const uint8_t *rgb, int width, int height) {
    picture_box_t box;
    sink->shown = true;
    if (sink->boxes == NULL) {
        return picture_fit(sink->fit, rgb, width, height, NULL, sink->step);
    }
    sink->shown = face_boxes_at(sink->boxes, frame, width, height, &box);
    if (!sink->shown) {
        notes_add(sink->notes, "frames without a face, taken as missing", 1, NULL);
        return STATUS_OK;
    }
    status_t status = picture_fit(sink->fit, rgb, width, height, &box, sink->step);
    return status == STATUS_OK
               ? status
               : status_prefix(status, "%s: frame %lld", sink->label, (long long)frame);
}

/* --- a video ------------------------------------------------------------------------------- */

/* Puts a picture at its step; a picture before it lasts until then. */
static status_t place(sink_t *sink, int64_t step, bool own_rate, const uint8_t *rgb,
                      const video_info_t *info) {
    int64_t count = steps_file_count(sink->out.steps);
    if (step < count) {
        notes_add(sink->notes, "pictures that come too close for a step of their own, left out",
                  own_rate, sink->label);
        return STATUS_OK;
    }
    notes_add(sink->notes, "steps in which a video repeats the picture before",
              own_rate ? step - count : 0, sink->label);
    for (; count < step; count++) {
        TRY(add_last(sink));
    }
    TRY(show(sink, sink->out.frames, rgb, info->width, info->height));
    return add_last(sink);
}

static status_t read_video(sink_t *sink, video_t *video, double rate_hz) {
    const video_info_t *info = video_info(video);
    uint8_t *rgb = alloc_zero((int64_t)info->width * info->height, MEDIA_COLOURS);
    double start_s = 0.0, time_s = 0.0;
    status_t status = STATUS_OK;
    for (bool end = false; status == STATUS_OK;) {
        status = video_next(video, rgb, &time_s, &end);
        if (status != STATUS_OK || end) {
            break;
        }
        start_s = sink->out.frames == 0 ? time_s : start_s;
        double step = round((time_s - start_s) * rate_hz);
        status = step < (double)(1 << 28)
                     ? place(sink, (int64_t)step, rate_hz == info->fps, rgb, info)
                     : status_fail(STATUS_INPUT, "%s: a picture at %g s; repair its time stamps",
                                   sink->label, time_s);
        sink->out.frames++;
    }
    free(rgb);
    return status;
}

status_t media_video(const media_rules_t *rules, const char *label, const archive_member_t *member,
                     double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                     media_pictures_t *pictures_out) {
    video_t *video = NULL;
    sink_t sink;
    TRY(video_open(label, member, &video));
    rate_hz = rate_hz > 0.0 ? rate_hz : video_info(video)->fps;
    status_t status = STATUS_OK;
    if (!(rate_hz > 0.0)) {
        status = status_fail(STATUS_INPUT, "%s: does not state its rate; give rate_hz", label);
    } else {
        sink_open(rules, label, boxes, notes, &sink);
        sink.out.rate_hz = rate_hz;
        status = sink_close(&sink, read_video(&sink, video, rate_hz), pictures_out);
    }
    video_close(video);
    return status;
}

status_t media_video_length(const char *label, const archive_member_t *member, double *rate_hz_out,
                            int64_t *frames_out) {
    video_t *video = NULL;
    TRY(video_open(label, member, &video));
    *rate_hz_out = video_info(video)->fps;
    status_t status = video_count(video, frames_out);
    video_close(video);
    return status;
}

/* --- files of pictures ---------------------------------------------------------------------- */

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

static status_t add_image(sink_t *sink, image_decoder_t *decoder, const archive_t *archive,
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
    TRY(show(sink, frame, rgb, width, height));
    return add_last(sink);
}

static status_t read_images(sink_t *sink, const archive_t *archive, const image_list_t *list,
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
    sink_t sink;
    char *label = text_format("%s/%s", archive_path(archive), prefix);
    status_t status = list_images(archive, prefix, notes, &list);
    if (status == STATUS_OK) {
        status = first_frame_of(label, list.items[0].frame, rules->first_frame, &first);
    }
    if (status == STATUS_OK) {
        status = check_span(archive, prefix, &list);
    }
    if (status == STATUS_OK) {
        sink_open(rules, label, boxes, notes, &sink);
        status = sink_close(&sink, read_images(&sink, archive, &list, first, least), pictures_out);
    }
    free(list.items);
    free(label);
    return status;
}
