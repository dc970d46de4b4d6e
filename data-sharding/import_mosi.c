#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

/* The recipe: a row of {text,audio,video}_SPLIT0.csv belongs to the same row of text_SPLIT.csv,
 * whose first column is a row of transcripts.csv, whose id VIDEO_CLIP joins
 * OpinionLevelSentiment.csv. */
enum { SENSES = 3, SPLITS = 2, TRACKS = SENSES + 2, SCORE_MAX = 3 };

static const writer_track_t tracks[TRACKS] = {{"text", false, 100},
                                              {"audio", false, 73},
                                              {"video", false, 100},
                                              {"binary", true, 1},
                                              {"score", true, 1}};
static const char *const split_marks[SPLITS] = {"train", "test"};

typedef struct score_key {
    char *id; /* VIDEO_CLIP */
    int64_t row;
} score_key_t;

typedef struct utterance {
    char *video;
    int64_t clip, row; /* of the split's files */
    int split;
    double score;
} utterance_t;

typedef struct mosi {
    csv_t transcripts, scores, order[SPLITS], features[SPLITS][SENSES];
    score_key_t *keys; /* sorted */
    bool *used;        /* by row of transcripts */
    utterance_t *utterances;
    int64_t utterance_count;
    char **videos;   /* by recording */
    int64_t *begins; /* first utterance of each recording, and the end */
    int64_t video_count;
} mosi_t;

static status_t open_csv(const char *dir, const char *name, csv_t *csv) {
    char *path = text_format("%s/%s", dir, name);
    status_t status = csv_open(path, csv);
    free(path);
    return status;
}

static status_t open_files(const char *dir, mosi_t *mosi) {
    TRY(open_csv(dir, "transcripts.csv", &mosi->transcripts));
    TRY(open_csv(dir, "OpinionLevelSentiment.csv", &mosi->scores));
    for (int split = 0; split < SPLITS; split++) {
        char *name = text_format("text_%s.csv", split_marks[split]);
        status_t status = open_csv(dir, name, &mosi->order[split]);
        free(name);
        TRY(status);
        for (int s = 0; s < SENSES; s++) {
            csv_t *csv = &mosi->features[split][s];
            name = text_format("%s_%s0.csv", tracks[s].name, split_marks[split]);
            status = open_csv(dir, name, csv);
            free(name);
            TRY(status);
            if (csv->row_count != mosi->order[split].row_count) {
                return status_fail(STATUS_INPUT, "%s: %lld rows, but %s has %lld; get both again",
                                   csv->path, (long long)csv->row_count, mosi->order[split].path,
                                   (long long)mosi->order[split].row_count);
            }
        }
    }
    return STATUS_OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const score_key_t *)a)->id, ((const score_key_t *)b)->id);
}

static status_t sort_scores(mosi_t *mosi) {
    const csv_t *csv = &mosi->scores;
    mosi->keys = alloc_zero(max_i64(csv->row_count, 1), sizeof *mosi->keys);
    for (int64_t i = 0; i < csv->row_count; i++) {
        const char *video;
        int64_t clip;
        TRY(csv_text(csv, i, 2, &video));
        TRY(csv_integer(csv, i, 3, &clip));
        mosi->keys[i] = (score_key_t){text_format("%s_%lld", video, (long long)clip), i};
    }
    qsort(mosi->keys, (size_t)csv->row_count, sizeof *mosi->keys, compare_keys);
    for (int64_t i = 1; i < csv->row_count; i++) {
        if (compare_keys(&mosi->keys[i - 1], &mosi->keys[i]) == 0) {
            return status_fail(STATUS_INPUT, "%s:%lld: a second score for %s; remove one",
                               csv->path, (long long)csv->rows[mosi->keys[i].row].line,
                               mosi->keys[i].id);
        }
    }
    return STATUS_OK;
}

static status_t check_binary(const csv_t *csv, int64_t row, int column, double score) {
    double binary;
    TRY(csv_number(csv, row, column, &binary));
    if (binary != (score >= 0.0 ? 1.0 : 0.0)) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: binary label %g contradicts the score %g; get the files again",
                           csv->path, (long long)csv->rows[row].line, binary, score);
    }
    return STATUS_OK;
}

static status_t find_score(const mosi_t *mosi, int64_t transcript, const char *id,
                           double *score_out) {
    const csv_t *csv = &mosi->transcripts;
    const score_key_t wanted = {(char *)id, 0};
    const score_key_t *key =
        bsearch(&wanted, mosi->keys, (size_t)mosi->scores.row_count, sizeof wanted, compare_keys);
    if (key == NULL) {
        return status_fail(STATUS_INPUT, "%s:%lld: no score for %s in %s; get the files again",
                           csv->path, (long long)csv->rows[transcript].line, id, mosi->scores.path);
    }
    const csv_t *scores = &mosi->scores;
    double score;
    TRY(csv_number(scores, key->row, 4, &score));
    if (fabs(score) > SCORE_MAX) {
        return status_fail(STATUS_INPUT, "%s:%lld: score %g is outside -3 to 3; get the file again",
                           scores->path, (long long)scores->rows[key->row].line, score);
    }
    *score_out = score;
    return STATUS_OK;
}

static status_t add_utterance(mosi_t *mosi, int split, int64_t row) {
    const csv_t *order = &mosi->order[split];
    int64_t transcript;
    TRY(csv_integer(order, row, 0, &transcript));
    if (transcript < 0 || transcript >= mosi->transcripts.row_count || mosi->used[transcript]) {
        return status_fail(
            STATUS_INPUT, "%s:%lld: row %lld of transcripts.csv is %s; get the files again",
            order->path, (long long)order->rows[row].line, (long long)transcript,
            transcript >= 0 && transcript < mosi->transcripts.row_count ? "taken already"
                                                                        : "not there");
    }
    mosi->used[transcript] = true;
    const char *id;
    TRY(csv_text(&mosi->transcripts, transcript, 0, &id));
    const char *underscore = strrchr(id, '_');
    char *end = NULL;
    int64_t clip = underscore == NULL ? 0 : strtoll(underscore + 1, &end, 10);
    if (end == NULL || end == underscore + 1 || *end != '\0') {
        return status_fail(
            STATUS_INPUT, "%s:%lld: id \"%s\" is not VIDEO_CLIP; get the files again",
            mosi->transcripts.path, (long long)mosi->transcripts.rows[transcript].line, id);
    }
    double score = 0.0;
    TRY(find_score(mosi, transcript, id, &score));
    TRY(check_binary(&mosi->transcripts, transcript, 3, score));
    for (int s = 0; s < SENSES; s++) {
        TRY(check_binary(&mosi->features[split][s], row, (int)tracks[s].dim, score));
    }
    char *video = text_format("%.*s", (int)(underscore - id), id);
    mosi->utterances[mosi->utterance_count++] = (utterance_t){video, clip, row, split, score};
    return STATUS_OK;
}

static int compare_utterances(const void *a, const void *b) {
    const utterance_t *x = a, *y = b;
    if (x->split != y->split) {
        return x->split - y->split;
    }
    int videos = strcmp(x->video, y->video);
    return videos != 0 ? videos : (x->clip > y->clip) - (x->clip < y->clip);
}

static status_t join(mosi_t *mosi) {
    TRY(sort_scores(mosi));
    int64_t count = mosi->transcripts.row_count;
    mosi->used = alloc_zero(max_i64(count, 1), sizeof(bool));
    mosi->utterances = alloc_zero(max_i64(count, 1), sizeof *mosi->utterances);
    for (int split = 0; split < SPLITS; split++) {
        for (int64_t i = 0; i < mosi->order[split].row_count; i++) {
            TRY(add_utterance(mosi, split, i));
        }
    }
    if (mosi->utterance_count != count) {
        return status_fail(STATUS_INPUT,
                           "%s: %lld of %lld utterances are in no split; get the files "
                           "again",
                           mosi->transcripts.path, (long long)(count - mosi->utterance_count),
                           (long long)count);
    }
    qsort(mosi->utterances, (size_t)count, sizeof *mosi->utterances, compare_utterances);
    mosi->videos = alloc_zero(count + 1, sizeof *mosi->videos);
    mosi->begins = alloc_zero(count + 1, sizeof *mosi->begins);
    for (int64_t i = 0; i < count; i++) {
        char *video = mosi->utterances[i].video;
        if (i == 0 || strcmp(video, mosi->utterances[i - 1].video) != 0) {
            mosi->begins[mosi->video_count] = i;
            mosi->videos[mosi->video_count++] = video;
        }
    }
    mosi->begins[mosi->video_count] = count;
    for (int64_t a = 0; a < mosi->video_count; a++) {
        for (int64_t b = a + 1; b < mosi->video_count; b++) {
            if (strcmp(mosi->videos[a], mosi->videos[b]) == 0) {
                return status_fail(STATUS_INPUT,
                                   "%s: video %s is in train and test; get the files again",
                                   mosi->order[1].path, mosi->videos[a]);
            }
        }
    }
    return STATUS_OK;
}

static status_t fill_step(const mosi_t *mosi, const utterance_t *u, int64_t step,
                          float *const data[TRACKS]) {
    for (int s = 0; s < SENSES; s++) {
        const csv_t *csv = &mosi->features[u->split][s];
        int64_t dim = tracks[s].dim;
        if (csv->rows[u->row].count != dim + 1) {
            return status_fail(
                STATUS_INPUT, "%s:%lld: %d fields, expected %lld; get the file again", csv->path,
                (long long)csv->rows[u->row].line, csv->rows[u->row].count, (long long)dim + 1);
        }
        for (int d = 0; d < (int)dim; d++) {
            double value;
            TRY(csv_number(csv, u->row, d, &value));
            data[s][step * dim + d] = (float)value;
        }
    }
    data[SENSES][step] = u->score >= 0.0 ? 1.0f : 0.0f;
    data[SENSES + 1][step] = (float)u->score;
    return STATUS_OK;
}

static status_t add_video(const mosi_t *mosi, int64_t video, dataset_writer_t *writer) {
    int64_t begin = mosi->begins[video], steps = mosi->begins[video + 1] - begin;
    float *data[TRACKS];
    writer_signal_t signals[TRACKS];
    for (int i = 0; i < TRACKS; i++) {
        data[i] = alloc_zero(steps * tracks[i].dim, sizeof(float));
        signals[i] = (writer_signal_t){data[i], NULL, steps, 1.0};
    }
    status_t status = STATUS_OK;
    for (int64_t t = 0; t < steps && status == STATUS_OK; t++) {
        status = fill_step(mosi, &mosi->utterances[begin + t], t, data);
    }
    if (status == STATUS_OK) {
        writer_recording_t row = {.name = mosi->videos[video],
                                  .session = "",
                                  .group = "",
                                  .split = split_marks[mosi->utterances[begin].split],
                                  .subject = video, /* the video stands for its only speaker */
                                  .signals = signals};
        status = dataset_writer_add(writer, &row);
    }
    for (int i = 0; i < TRACKS; i++) {
        free(data[i]);
    }
    return status;
}

static status_t write_all(const import_job_t *job, const mosi_t *mosi) {
    writer_config_t config = {
        .out = job->out,
        .importer = "mosi",
        .source = "CMU-MOSI utterance features of declare-lab/multimodal-deep-learning, scores of "
                  "the CMU-MOSI segment labels",
        .licence = "MIT (features); CMU-MOSI research corpus (labels)",
        .terms = "research; check CMU's page before any commercial use",
        .salt = job->salt,
        .subjects = (const char *const *)mosi->videos,
        .subject_count = mosi->video_count,
        .recording_count = mosi->video_count,
        .shards = job->shards,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int64_t i = 0; i < mosi->video_count && status == STATUS_OK; i++) {
        status = add_video(mosi, i, writer);
    }
    if (status == STATUS_OK) {
        status = dataset_writer_publish(
            writer, "{\"step\": \"one utterance, in clip order; rate_hz 1 counts utterances\","
                    " \"binary\": \"1 where score >= 0\"}");
    }
    dataset_writer_close(writer);
    return status;
}

static void mosi_close(mosi_t *mosi) {
    for (int64_t i = 0; mosi->keys != NULL && i < mosi->scores.row_count; i++) {
        free(mosi->keys[i].id);
    }
    for (int64_t i = 0; i < mosi->utterance_count; i++) {
        free(mosi->utterances[i].video);
    }
    csv_close(&mosi->transcripts);
    csv_close(&mosi->scores);
    for (int split = 0; split < SPLITS; split++) {
        csv_close(&mosi->order[split]);
        for (int s = 0; s < SENSES; s++) {
            csv_close(&mosi->features[split][s]);
        }
    }
    free(mosi->keys);
    free(mosi->used);
    free(mosi->utterances);
    free(mosi->videos);
    free(mosi->begins);
}

static status_t import_mosi(const import_job_t *job) {
    mosi_t mosi = {0};
    status_t status = open_files(job->source, &mosi);
    if (status == STATUS_OK) {
        status = join(&mosi);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &mosi);
    }
    mosi_close(&mosi);
    return status;
}

static bool recognises(const char *dir) {
    char *scores = text_format("%s/OpinionLevelSentiment.csv", dir);
    char *text = text_format("%s/text_train0.csv", dir);
    bool both = file_exists(scores) && file_exists(text);
    free(scores);
    free(text);
    return both;
}

const importer_t importer_mosi = {
    .name = "mosi",
    .summary = "CMU-MOSI: text, audio and video of utterances; binary sentiment and score",
    .recognises = recognises,
    .run = import_mosi,
};
