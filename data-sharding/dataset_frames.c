#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"

/* NULL: the recording lacks all of them. */
static const shard_span_t *span_of(const dataset_t *dataset, const dataset_recording_t *r,
                                   const shard_track_t *const *tracks, int count, bool pixels) {
    for (int i = 0; i < count; i++) {
        const shard_track_t *track = tracks[(int64_t)i * dataset->shard_count + r->shard];
        bool wanted = track != NULL && (!pixels || dataset->infos[i].kind == TRACK_PIXELS);
        if (wanted && track->spans[r->row].length > 0) {
            return &track->spans[r->row];
        }
    }
    return NULL;
}

/* What the recording's frames are samples of; NULL: built-in modalities alone. */
static const shard_span_t *frame_span(const dataset_t *dataset, const dataset_recording_t *r) {
    const shard_span_t *span = span_of(dataset, r, dataset->targets, dataset->target_count, false);
    for (int pixels = 1; span == NULL && pixels >= 0; pixels--) {
        span = span_of(dataset, r, dataset->modalities, dataset->modality_count, pixels == 1);
    }
    return span;
}

static const dataset_recording_t *recording_of(const dataset_t *dataset, split_t split,
                                               int64_t sample) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    return &dataset->recordings[dataset->samples[split][sample].recording];
}

frames_info_t dataset_frames(const dataset_t *dataset, split_t split, int64_t sample) {
    const dataset_recording_t *r = recording_of(dataset, split, sample);
    const shard_span_t *span = frame_span(dataset, r);
    if (span == NULL) {
        return (frames_info_t){0.0, 1.0, r->length};
    }
    signal_line_t line = signal_line(r, span);
    return (frames_info_t){line.offset, line.ratio, line.samples};
}

void dataset_frame_labels(const dataset_t *dataset, split_t split, int64_t sample, int target,
                          float *labels_out) {
    REQUIRE(target >= 0 && target < dataset->target_count);
    const dataset_recording_t *r = recording_of(dataset, split, sample);
    const shard_span_t *frames = frame_span(dataset, r);
    dataset_recording_t clock = *r;
    if (frames != NULL) { /* a clock whose steps are the frames */
        clock.start_s = frames->start_s;
        clock.rate_hz = frames->rate_hz;
    }
    int64_t count = dataset_frames(dataset, split, sample).count;
    for (int64_t i = 0; i < count; i++) {
        labels_out[i] = dataset_label(dataset, &clock, target, i);
    }
}
