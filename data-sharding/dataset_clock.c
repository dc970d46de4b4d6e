#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"

/* Rates such as 1 / 0.2 s are not exact in binary: a sample that lies less than this part of a
 * period after a step counts as there. */
static const double slack = 1e-6;

signal_line_t signal_line(const dataset_recording_t *recording, const shard_span_t *span) {
    return (signal_line_t){(recording->start_s - span->start_s) * span->rate_hz,
                           span->rate_hz / recording->rate_hz, span->length};
}

int64_t signal_place(const signal_line_t *line, int64_t step) {
    const double most = (double)(INT64_MAX / 4);
    double sample = floor(line->offset + (double)step * line->ratio + slack);
    return (int64_t)fmax(fmin(sample, most), -most);
}

int64_t signal_sample(const signal_line_t *line, int64_t step) {
    int64_t sample = signal_place(line, step);
    return sample >= 0 && sample < line->samples ? sample : -1;
}

float dataset_label(const dataset_t *dataset, const dataset_recording_t *recording, int target,
                    int64_t step) {
    int64_t at = (int64_t)target * dataset->shard_count + recording->shard;
    const shard_span_t *span = &dataset->targets[at]->spans[recording->row];
    signal_line_t line = signal_line(recording, span);
    int64_t sample = signal_sample(&line, step);
    return sample < 0 ? NAN : dataset->labels[at][span->offset + sample];
}

typedef struct clock_range {
    const shard_track_t *first; /* NULL: no track */
    double start, end, rate_hz;
} clock_range_t;

/* Joins the tracks that a recording has. Where they set the steps of samples (`decides`), one of
 * another rate is refused unless a rate is given; else the first one's rate is taken. */
static status_t join_tracks(const dataset_config_t *config, const dataset_t *dataset,
                            int64_t recording, const shard_track_t *const *tracks, int count,
                            bool decides, clock_range_t *range) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    for (int i = 0; i < count; i++) {
        const shard_track_t *track = tracks[(int64_t)i * dataset->shard_count + r->shard];
        if (track == NULL || track->spans[r->row].length == 0) {
            continue; /* built in, or this recording lacks the track */
        }
        const shard_span_t *span = &track->spans[r->row];
        double end = span->start_s + (double)span->length / span->rate_hz;
        if (range->first == NULL) {
            *range = (clock_range_t){track, span->start_s, end, span->rate_hz};
        } else if (decides && span->rate_hz != range->rate_hz && config->rate_hz == 0.0) {
            return status_fail(STATUS_INPUT,
                               "%s: recording %s has %s at %g Hz and %s at %g Hz; set data.rate_hz",
                               config->path, dataset_origin(dataset, recording)->name,
                               range->first->name, range->rate_hz, track->name, span->rate_hz);
        }
        range->start = fmin(range->start, span->start_s);
        range->end = fmax(range->end, end);
    }
    return STATUS_OK;
}

static status_t set_clock(const dataset_config_t *config, dataset_t *dataset, int64_t recording) {
    clock_range_t range = {0};
    TRY(join_tracks(config, dataset, recording, dataset->targets, dataset->target_count, true,
                    &range));
    if (range.first == NULL) { /* without a wanted label its windows are left out */
        bool decides = dataset->target_count == 0;
        TRY(join_tracks(config, dataset, recording, dataset->modalities, dataset->modality_count,
                        decides, &range));
    }
    dataset_recording_t *r = &dataset->recordings[recording];
    r->start_s = range.start;
    r->rate_hz = config->rate_hz > 0.0 ? config->rate_hz : range.first == NULL ? 1 : range.rate_hz;
    r->start_s += config->shift / r->rate_hz;
    double length = ceil((range.end - r->start_s) * r->rate_hz - slack);
    if (!(length < (double)(INT64_MAX / 2))) {
        return status_fail(STATUS_INPUT,
                           "%s: recording %s is too long at %g Hz; lower data.rate_hz",
                           config->path, dataset_origin(dataset, recording)->name, r->rate_hz);
    }
    r->length = (int64_t)fmax(length, 0.0);
    return STATUS_OK;
}

status_t dataset_set_clocks(const dataset_config_t *config, dataset_t *dataset) {
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        TRY(set_clock(config, dataset, i));
    }
    return STATUS_OK;
}

static bool is_scored(const dataset_t *dataset, const dataset_sample_t *sample) {
    const dataset_recording_t *r = &dataset->recordings[sample->recording];
    int64_t begin = max_i64(sample->first, sample->scored_from);
    for (int target = 0; target < dataset->target_count; target++) {
        for (int64_t step = begin; step < sample->first + sample->steps; step++) {
            if (!isnan(dataset_label(dataset, r, target, step))) {
                return true;
            }
        }
    }
    return dataset->target_count == 0;
}

void dataset_cut(dataset_t *dataset) {
    for (int split = 0; split < SPLIT_COUNT; split++) {
        for (int64_t i = 0; i < dataset->split_recording_count[split]; i++) {
            int64_t recording = dataset->split_recordings[split][i];
            int64_t length = dataset->recordings[recording].length, scored = 0;
            bool whole = split == SPLIT_TRAIN && dataset->whole_windows;
            for (int64_t begin = 0; scored < length; begin += dataset->stride) {
                if (whole && begin + dataset->window > length) {
                    break;
                }
                int64_t first = max_i64(min_i64(begin, length - dataset->window), 0);
                dataset_sample_t sample = {recording, first, min_i64(dataset->window, length),
                                           scored};
                scored = first + sample.steps;
                bool scores = is_scored(dataset, &sample);
                dataset->unlabelled_count[split] += !scores;
                if (!scores && (split == SPLIT_TRAIN || !dataset->every_window)) {
                    continue;
                }
                int64_t count = dataset->sample_count[split]++;
                dataset->samples[split] = array_grow(dataset->samples[split], count, sizeof sample);
                dataset->samples[split][count] = sample;
            }
        }
    }
}

bool dataset_window_is_session(const dataset_t *dataset) {
    double *total = alloc_zero(dataset->subject_count, sizeof *total);
    double *longest = alloc_zero(dataset->subject_count, sizeof *longest);
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const dataset_recording_t *r = &dataset->recordings[i];
        double window = (double)min_i64(r->length, dataset->window) / r->rate_hz;
        total[r->subject] += (double)r->length / r->rate_hz;
        longest[r->subject] = fmax(longest[r->subject], window);
    }
    int64_t people = 0;
    for (int64_t s = 0; s < dataset->subject_count; s++) {
        people += 2.0 * longest[s] > total[s];
    }
    free(total);
    free(longest);
    return 2 * people > dataset->subject_count;
}
