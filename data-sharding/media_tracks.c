#include "data-sharding/media_tracks.h"

#include <math.h>
#include <stdlib.h>

#include "data-sharding/media_sink.h"
#include "data-sharding/video.h"
#include "kernels/base/bytes.h"

status_t media_available(void) { return STATUS_OK; }

status_t media_pictures_available(void) { return STATUS_OK; }

/* Puts a picture at its step; a picture before it lasts until then. */
static status_t place(media_sink_t *sink, int64_t step, bool own_rate, const uint8_t *rgb,
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
        TRY(media_sink_add(sink));
    }
    TRY(media_sink_show(sink, sink->out.frames, rgb, info->width, info->height));
    return media_sink_add(sink);
}

static status_t read_video(media_sink_t *sink, video_t *video, double rate_hz) {
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
    media_sink_t sink;
    TRY(video_open(label, member, &video));
    rate_hz = rate_hz > 0.0 ? rate_hz : video_info(video)->fps;
    status_t status = STATUS_OK;
    if (!(rate_hz > 0.0)) {
        status = status_fail(STATUS_INPUT, "%s: does not state its rate; give rate_hz", label);
    } else {
        media_sink_open(rules, label, boxes, notes, &sink);
        sink.out.rate_hz = rate_hz;
        status = media_sink_close(&sink, read_video(&sink, video, rate_hz), pictures_out);
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
