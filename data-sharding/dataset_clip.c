/* dataset_clip.c - several steps of a modality at each step of a window. Which ones is decided by
 * what is valid, in memory; then each is read once, however many clips show it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "data-sharding/log_mel.h"
#include "data-sharding/vggish_mel.h"
#include "kernels/base/bytes.h"

/* Steps that lie so close are read together with what is between them: a block of checksums. */
enum { GAP_BYTES = 1 << 14, RUN_BYTES_MAX = 1 << 22 };
static const int64_t none = -1;

struct dataset_scratch {
    int64_t *samples; /* [steps, clip]: `none` where there is none */
    uint8_t *wanted;  /* by sample, from the lowest on */
    char *run;
    int64_t places, reach, run_bytes; /* room in these */
};

typedef struct clips {
    const signal_reader_t *reader;
    const modality_info_t *info;
    dataset_scratch_t *scratch;
    int64_t *samples; /* the scratch's */
    int64_t lowest, highest;
    char *tokens;
    size_t step_bytes;
} clips_t;

/* --- memory ---------------------------------------------------------------------------------- */

static bool has_clips(const modality_info_t *info) {
    return info->clip > 1 || info->kind == TRACK_PIXELS;
}

/* Samples from the first to the last that a window of this recording may show. */
static int64_t reach_of(const dataset_t *dataset, const dataset_recording_t *r, int modality) {
    const modality_info_t *info = &dataset->infos[modality];
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard;
    const shard_span_t *span = &dataset->modalities[at]->spans[r->row];
    double steps = (double)dataset->window * signal_line(r, span).ratio;
    double clip = (double)info->clip * (double)info->dilation;
    return (int64_t)fmin(ceil(steps) + clip + 2.0, (double)span->length);
}

/* Steps in a run that is read at once. */
static int64_t run_room(int64_t step_bytes) { return max_i64(RUN_BYTES_MAX / step_bytes, 1); }

static void make_room(const dataset_t *dataset, int modality, dataset_scratch_t *scratch) {
    const modality_info_t *info = &dataset->infos[modality];
    int64_t step_bytes = info->dim * (int64_t)track_element_bytes(info->kind), reach = 0;
    for (int64_t r = 0; r < dataset->recording_count; r++) {
        reach = max_i64(reach, reach_of(dataset, &dataset->recordings[r], modality));
    }
    int64_t run = min_i64(reach, run_room(step_bytes));
    scratch->places = max_i64(scratch->places, dataset->window * info->clip);
    scratch->reach = max_i64(scratch->reach, reach);
    scratch->run_bytes = max_i64(scratch->run_bytes, run * step_bytes);
}

dataset_scratch_t *dataset_scratch_open(const dataset_t *dataset) {
    dataset_scratch_t *scratch = alloc_zero(1, sizeof *scratch);
    for (int m = 0; m < dataset->modality_count; m++) {
        if (dataset->built_in[m] == BUILT_IN_NONE && has_clips(&dataset->infos[m])) {
            make_room(dataset, m, scratch);
        }
    }
    scratch->samples = alloc_zero(max_i64(scratch->places, 1), sizeof *scratch->samples);
    scratch->wanted = alloc_zero(max_i64(scratch->reach, 1), 1);
    scratch->run = alloc_aligned((size_t)scratch->run_bytes);
    return scratch;
}

void dataset_scratch_close(dataset_scratch_t *scratch) {
    if (scratch != NULL) {
        free(scratch->samples);
        free(scratch->wanted);
        free(scratch->run);
        free(scratch);
    }
}

/* --- which steps ----------------------------------------------------------------------------- */

static bool is_valid(const signal_reader_t *reader, int64_t sample) {
    return sample >= 0 && sample < reader->line.samples && reader->valid[sample] != 0;
}

/* The steps at their places in time; how many of them are valid. */
static int64_t choose_grid(const clips_t *clips, int64_t last, int64_t *samples) {
    int64_t clip = clips->info->clip, count = 0;
    for (int64_t i = 0; i < clip; i++) {
        int64_t sample = last - (clip - 1 - i) * clips->info->dilation;
        samples[i] = is_valid(clips->reader, sample) ? sample : none;
        count += samples[i] != none;
    }
    return count;
}

/* A missing step shows the one before it; before the first it is the first. */
static void hold(int64_t clip, int64_t *samples) {
    int64_t shown = none;
    for (int64_t i = 0; i < clip && shown == none; i++) {
        shown = samples[i];
    }
    for (int64_t i = 0; i < clip; i++) {
        shown = samples[i] != none ? samples[i] : shown;
        samples[i] = shown;
    }
}

/* From those valid in the clip's stretch of time: the last of every e-th, counted from its end. */
static void choose_among(const clips_t *clips, int64_t end, int64_t *samples) {
    const signal_reader_t *reader = clips->reader;
    int64_t clip = clips->info->clip, valid = 0;
    int64_t first = max_i64(end - (clip - 1) * clips->info->dilation, 0);
    int64_t last = min_i64(end, reader->line.samples - 1);
    for (int64_t sample = first; sample <= last; sample++) {
        valid += is_valid(reader, sample);
    }
    int64_t every = max_i64(valid / clip, 1), skip = max_i64(valid - 1 - (clip - 1) * every, 0);
    int64_t put = 0, seen = 0;
    for (int64_t sample = first; sample <= last && put < clip; sample++) {
        if (is_valid(reader, sample)) {
            if (seen >= skip && (seen - skip) % every == 0) {
                samples[put++] = sample;
            }
            seen++;
        }
    }
    for (int64_t i = put; i < clip; i++) {
        samples[i] = put > 0 ? samples[put - 1] : none;
    }
}

/* Whether there is anything to show at a step of the clock. */
static bool choose(const clips_t *clips, int64_t step, int64_t *samples) {
    int64_t clip = clips->info->clip;
    int64_t last = signal_place(&clips->reader->line, step);
    int64_t count = choose_grid(clips, last, samples);
    track_kind_t kind = clips->info->kind;
    if (kind == TRACK_SIGNAL) {
        hold(clip, samples);
    } else if (!track_is_sound(kind) && count < clip) {
        choose_among(clips, last, samples);
        count = samples[0] != none;
    }
    return count > 0;
}

static void choose_all(clips_t *clips, uint8_t *mask) {
    int64_t clip = clips->info->clip;
    clips->lowest = INT64_MAX;
    clips->highest = none;
    for (int64_t t = 0; t < clips->reader->steps; t++) {
        int64_t *samples = clips->samples + t * clip;
        mask[t] = choose(clips, clips->reader->first + t, samples);
        for (int64_t i = 0; i < clip; i++) {
            if (samples[i] != none) {
                clips->lowest = min_i64(clips->lowest, samples[i]);
                clips->highest = max_i64(clips->highest, samples[i]);
            }
        }
    }
}

/* --- reading --------------------------------------------------------------------------------- */

/* Samples begin..begin+count-1 to all places that show them. */
static status_t scatter(const clips_t *clips, int64_t begin, int64_t count, const char *run) {
    int64_t places = clips->reader->steps * clips->info->clip;
    for (int64_t i = 0; i < places; i++) {
        int64_t at = clips->samples[i] - begin;
        if (clips->samples[i] != none && at >= 0 && at < count) {
            const char *step = run + (size_t)at * clips->step_bytes;
            if (clips->info->kind != TRACK_PIXELS) {
                TRY(signal_check(clips->reader, clips->samples[i],
                                 (const float *)(const void *)step));
            }
            memcpy(clips->tokens + (size_t)i * clips->step_bytes, step, clips->step_bytes);
        }
    }
    return STATUS_OK;
}

/* The end of the run that begins here: wanted samples whose gaps are not worth leaving out. */
static int64_t run_end(const clips_t *clips, const uint8_t *wanted, int64_t begin) {
    int64_t step_bytes = (int64_t)clips->step_bytes;
    int64_t gap = GAP_BYTES / step_bytes, last = begin;
    int64_t most = min_i64(clips->highest, begin + run_room(step_bytes) - 1);
    for (int64_t sample = begin + 1; sample <= most && sample - last - 1 <= gap; sample++) {
        last = wanted[sample - clips->lowest] != 0 ? sample : last;
    }
    return last + 1;
}

static status_t read_runs(const clips_t *clips) {
    int64_t places = clips->reader->steps * clips->info->clip;
    int64_t reach = clips->highest - clips->lowest + 1;
    uint8_t *wanted = clips->scratch->wanted;
    REQUIRE(reach <= clips->scratch->reach);
    memset(wanted, 0, (size_t)reach);
    for (int64_t i = 0; i < places; i++) {
        if (clips->samples[i] != none) {
            wanted[clips->samples[i] - clips->lowest] = 1;
        }
    }
    char *run = clips->scratch->run;
    for (int64_t at = clips->lowest; at <= clips->highest;) {
        int64_t end = run_end(clips, wanted, at);
        TRY(shard_read_values(clips->reader->shard, clips->reader->track,
                              clips->reader->span->offset + at, end - at, run));
        TRY(scatter(clips, at, end - at, run));
        for (at = end; at <= clips->highest && wanted[at - clips->lowest] == 0;) {
            at++;
        }
    }
    return STATUS_OK;
}

/* Silence, as zeros before and in a sound would make it. */
static void add_silence(const clips_t *clips, const uint8_t *mask) {
    int64_t clip = clips->info->clip, dim = clips->info->dim;
    bool decibels = clips->info->kind == TRACK_LOG_MEL;
    float silence = decibels ? LOG_MEL_SILENCE : VGGISH_MEL_SILENCE;
    for (int64_t t = 0; t < clips->reader->steps; t++) {
        float *frames = (float *)(void *)clips->tokens + t * clip * dim;
        for (int64_t i = 0; i < clip * dim && mask[t] != 0; i++) {
            frames[i] = clips->samples[t * clip + i / dim] == none ? silence : frames[i];
        }
        if (mask[t] != 0 && decibels) {
            log_mel_normalise(frames, clip);
        }
    }
}

status_t dataset_read_clips(const signal_reader_t *reader, const modality_info_t *info,
                            dataset_scratch_t *scratch, void *tokens, uint8_t *mask) {
    int64_t places = reader->steps * info->clip;
    REQUIRE(scratch != NULL && places <= scratch->places);
    clips_t clips = {.reader = reader,
                     .info = info,
                     .scratch = scratch,
                     .samples = scratch->samples,
                     .tokens = tokens,
                     .step_bytes = (size_t)shard_step_bytes(reader->track)};
    memset(tokens, 0, (size_t)places * clips.step_bytes);
    choose_all(&clips, mask);
    TRY(clips.highest >= 0 ? read_runs(&clips) : STATUS_OK);
    if (track_is_sound(info->kind)) {
        add_silence(&clips, mask);
    }
    return STATUS_OK;
}

/* --- silence --------------------------------------------------------------------------------- */

bool dataset_has_silence(const dataset_t *dataset, int modality) {
    track_kind_t kind = dataset->infos[modality].kind;
    return dataset->built_in[modality] == BUILT_IN_NONE &&
           (track_is_sound(kind) || kind == TRACK_SIGNAL);
}

void dataset_silence(const dataset_t *dataset, split_t split, int64_t sample, int modality,
                     float *step_out) {
    REQUIRE(dataset_has_silence(dataset, modality));
    const modality_info_t *info = &dataset->infos[modality];
    bool decibels = info->kind == TRACK_LOG_MEL;
    float silence = decibels                         ? LOG_MEL_SILENCE
                    : info->kind == TRACK_VGGISH_MEL ? VGGISH_MEL_SILENCE
                                                     : 0.0f;
    for (int64_t d = 0; d < info->dim; d++) {
        step_out[d] = silence;
    }
    if (decibels && has_clips(info)) {
        log_mel_normalise(step_out, 1);
    }
    if (info->scaled) {
        int64_t recording = dataset->samples[split][sample].recording;
        dataset_scale_person(dataset, dataset->recordings[recording].subject, modality, step_out);
    }
}
