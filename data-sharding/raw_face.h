/* raw_face.h - the face of generated pictures. */
#ifndef JMT_RAW_FACE_H
#define JMT_RAW_FACE_H

#include <stdint.h>

/* mood -1 to 1: the face is 120 + 60 mood bright, and its mouth bends. grey_out: [side, side] */
void raw_face_draw(double mood, int side, uint8_t *grey_out);
/* rgb_out: [side, side, 3], in the colours of a skin */
void raw_face_colour(const uint8_t *grey, int side, uint8_t *rgb_out);

#endif
