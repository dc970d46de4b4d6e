/* post_process.h - what is done to a recording's predicted values after the model: clipped to
 * [-1, 1], then a moving average over time (jmt.md 2.2). Labels play no part in it. */
#ifndef JMT_POST_PROCESS_H
#define JMT_POST_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { EDGES_NEAREST, EDGES_CONSTANT } edges_t; /* beyond an end: its value; 0 */

typedef struct post_process {
    bool clip;
    int64_t width; /* of the average; 0 and 1: none */
    edges_t edges;
} post_process_t;

/* out[i]: the mean of x[i - width/2] ... x[i - width/2 + width - 1], always over width. */
void box_filter(const float *x, int64_t count, int64_t width, edges_t edges, float *out);

/* Each stretch by itself. stretch[i] >= 0: x[i] is a step of it, behind the last one with the same
 * number, which are in order of time; -1: x[i] is no step of its own, and only clipped. */
void post_process(const post_process_t *how, const float *x, const int64_t *stretch, int64_t count,
                  float *out);

/* The widths that `fit` chooses from, in rising order: widths[0..SMOOTH_WIDTHS-1]. */
enum { SMOOTH_WIDTHS = 16 };
extern const int64_t smooth_widths[SMOOTH_WIDTHS];

#endif
