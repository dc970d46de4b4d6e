/* track_kind.h - what a step of a track is. */
#ifndef JMT_TRACK_KIND_H
#define JMT_TRACK_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FEATURES and SIGNAL: numbers, float32; a signal is a waveform whose steps keep their places in
 * time when one is missing. LOG_MEL: decibels of 64 bands, float32, not yet normalised. PIXELS:
 * uint8 of shape [height, width, channels]. EMBEDDING: what a backbone made of a modality, float32,
 * to be taken as it is. VGGISH_MEL: logarithms of 64 bands, float32, as VGGish takes them. */
typedef enum {
    TRACK_FEATURES,
    TRACK_PIXELS,
    TRACK_LOG_MEL,
    TRACK_SIGNAL,
    TRACK_EMBEDDING,
    TRACK_VGGISH_MEL
} track_kind_t;

const char *track_kind_name(track_kind_t kind); /* "features", as FORMAT.md has them */
bool track_kind_find(const char *name, track_kind_t *kind_out);

/* Frames of mel bands: what is missing among them is silence. */
static inline bool track_is_sound(track_kind_t kind) {
    return kind == TRACK_LOG_MEL || kind == TRACK_VGGISH_MEL;
}

static inline size_t track_element_bytes(track_kind_t kind) {
    return kind == TRACK_PIXELS ? 1 : sizeof(float);
}

#endif
