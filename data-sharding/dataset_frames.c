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

frames_info_t dataset_frames(const dataset_t *dataset, split_t split, int64_t sample) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_recording_t *r = &dataset->recordings[dataset->samples[split][sample].recording];
    const shard_span_t *span = span_of(dataset, r, dataset->targets, dataset->target_count, false);
    for (int pixels = 1; span == NULL && pixels >= 0; pixels--) {
        span = span_of(dataset, r, dataset->modalities, dataset->modality_count, pixels == 1);
    }
    if (span == NULL) { /* built-in modalities alone */
        return (frames_info_t){0.0, 1.0, r->length};
    }
    signal_line_t line = signal_line(r, span);
    return (frames_info_t){line.offset, line.ratio, line.samples};
}
