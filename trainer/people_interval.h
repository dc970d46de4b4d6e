/* people_interval.h - how far a score would move had other people been asked: percentiles of it
 * over people drawn anew, with replacement, as often as there are people (bootstrap). A person is
 * drawn with all of his steps, in all runs at once. */
#ifndef JMT_PEOPLE_INTERVAL_H
#define JMT_PEOPLE_INTERVAL_H

#include "configs/config.h"
#include "trainer/metrics.h"

enum { PEOPLE_DRAWS = 2000 };

typedef struct people people_t;

/* runs: of the same people, such as seeds; scores are means over them. */
people_t *people_open(const config_t *config, int runs);
void people_close(people_t *people); /* NULL allowed */

/* A scored step. prediction: of classes the one that is said; post: as post-processed, or NaN. */
void people_add(people_t *people, int run, const char *subject, int target, double label,
                double prediction, double post);
int64_t people_count(const people_t *people);

/* From the 2.5th to the 97.5th percentile of the mean over runs of the mean over targets; NaN: the
 * targets have no such metric, it is one of sequences, or there are fewer than two people. */
typedef struct interval {
    double low, high;
} interval_t;
void people_intervals(const people_t *people, interval_t intervals_out[METRIC_COUNT]);

#endif
