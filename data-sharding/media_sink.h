/* media_sink.h - pictures on their way into a steps file; media_video and media_images share it. */
#ifndef JMT_MEDIA_SINK_H
#define JMT_MEDIA_SINK_H

#include "data-sharding/media_tracks.h"
#include "data-sharding/picture_fit.h"

typedef struct media_sink {
    const media_rules_t *rules;
    const char *label;         /* for notes and errors */
    const face_boxes_t *boxes; /* NULL: whole pictures */
    picture_fit_t *fit;
    uint8_t *step; /* the last one */
    bool shown;    /* whether it is valid */
    notes_t *notes;
    media_pictures_t out;
} media_sink_t;

/* The arguments must outlive the sink. */
void media_sink_open(const media_rules_t *rules, const char *label, const face_boxes_t *boxes,
                     notes_t *notes, media_sink_t *sink);

/* status: of what was done with it. Where that is well, *out is the caller's. Returns status. */
status_t media_sink_close(media_sink_t *sink, status_t status, media_pictures_t *out) MUST_CHECK;

/* rgb, [height, width, 3], becomes the sink's step; without a face it is none. */
status_t media_sink_show(media_sink_t *sink, int64_t frame, const uint8_t *rgb, int width,
                         int height) MUST_CHECK;

/* The sink's step, once more. */
status_t media_sink_add(media_sink_t *sink) MUST_CHECK;

#endif
