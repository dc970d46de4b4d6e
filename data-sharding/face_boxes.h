/* face_boxes.h - where the face is in each frame of a video, from a CSV file of a face detector.
 *
 * Columns are found by name: frame, and x,y,w,h or x1,y1,x2,y2 (also xmin, left, width, ...) or the
 * landmarks x_0, y_0, x_1, ... as OpenFace writes them, around which the box then lies. Boxes whose
 * sides are all at most 1 are parts of the picture's size, as MediaPipe has them. Rows without
 * numbers, and with success 0, are no face. Of several faces in a frame that of the highest
 * confidence counts, else the largest. */
#ifndef JMT_FACE_BOXES_H
#define JMT_FACE_BOXES_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/picture_fit.h"
#include "kernels/base/status.h"

typedef struct face_boxes {
    int64_t count;        /* frames 0..count-1 */
    picture_box_t *boxes; /* [count]; width 0: no face */
    bool relative;
    int64_t several; /* frames of more than one face */
} face_boxes_t;

/* first_frame: what the file calls the first frame, 0 or 1; -1: 0 if that is in the file, else
 * STATUS_INPUT. */
status_t face_boxes_read(const char *path, int64_t first_frame, face_boxes_t *boxes_out) MUST_CHECK;
void face_boxes_free(face_boxes_t *boxes);

/* In pixels of a picture of this size; false: no face. */
bool face_boxes_at(const face_boxes_t *boxes, int64_t frame, int width, int height,
                   picture_box_t *box_out);

/* What a file calls its first frame, as first_frame above; label names the file. */
status_t first_frame_of(const char *label, int64_t lowest, int64_t said,
                        int64_t *first_out) MUST_CHECK;

#endif
