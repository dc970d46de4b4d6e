#include "data-sharding/media_sink.h"

#include <stdlib.h>

#include "kernels/base/bytes.h"

void media_sink_open(const media_rules_t *rules, const char *label, const face_boxes_t *boxes,
                     notes_t *notes, media_sink_t *sink) {
    int64_t bytes = MEDIA_COLOURS * (int64_t)rules->side * rules->side;
    *sink = (media_sink_t){.rules = rules, .label = label, .boxes = boxes, .notes = notes};
    sink->out.steps = steps_file_open(rules->store, bytes);
    sink->fit = picture_fit_open(rules->side, rules->margin);
    sink->step = alloc_zero(bytes, 1);
}

status_t media_sink_close(media_sink_t *sink, status_t status, media_pictures_t *out) {
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

status_t media_sink_add(media_sink_t *sink) {
    return steps_file_add(sink->out.steps, sink->shown ? sink->step : NULL, 1);
}

status_t media_sink_show(media_sink_t *sink, int64_t frame, const uint8_t *rgb, int width,
                         int height) {
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
