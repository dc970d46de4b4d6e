/* import_affwild2.c - Aff-Wild2 as it is distributed: annotations by frame of one of its three
 * challenges, aligned faces by frame, and the videos, whose sound and rate are taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/importers.h"
#include "data-sharding/media_import.h"
#include "data-sharding/media_tree.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum {
    OPTION_FPS = MEDIA_OPTIONS,
    OPTION_TASK,
    OPTION_VGGISH,
    OPTION_NOISE,
    OPTION_NOISE_SEED,
    OPTIONS
};
static const import_option_t options[OPTIONS] = {
    MEDIA_OPTION_ROWS,
    [OPTION_FPS] = {"fps", 0, 0, 1000, false,
                    "of videos that are not there and that fps.csv does not name; 0: refused"},
    [OPTION_TASK] = {"task", 0, 0, 2, true,
                     "0: valence and arousal; 1: eight expressions; 2: twelve action units"},
    [OPTION_VGGISH] = {"vggish", 0, 0, 1, true,
                       "1: sound as VGGish takes it; 0: as the published ResNet-18 does"},
    [OPTION_NOISE] = NOISE_DB_OPTION,
    [OPTION_NOISE_SEED] = NOISE_SEED_OPTION,
};

enum { VIDEO, AUDIO, LABELS, LABELS_MAX = 12 };

/* A challenge: its folder, the first line of its files, and what a line then has. */
typedef struct task {
    const char *folder, *header;
    const char *targets[LABELS_MAX];
    int target_count;      /* numbers in a line */
    double ignored;        /* stands where a frame does not count */
    double least, most;    /* of the others */
    bool whole, all_count; /* whole numbers; one that is ignored makes the line so */
} task_t;

static const task_t tasks[] = {
    {"VA_", "valence,arousal", {"valence", "arousal"}, 2, -5.0, -1.0, 1.0, false, true},
    {"EXPR_",
     "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
     {"expression"},
     1,
     -1.0,
     0.0,
     7.0,
     true,
     true},
    {"AU_",
     "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
     {"AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26"},
     12,
     -1.0,
     0.0,
     1.0,
     true,
     false},
};

static const char *const sets[] = {"Train_Set", "Validation_Set"};
static const char *const splits[] = {"train", "test"};

/* One person in one video: an annotation file. */
typedef struct face_video {
    char *name, *base;              /* base: of the video, without _left and _right */
    const tree_place_t *annotation; /* the file */
    const tree_place_t *faces;      /* NULL: none */
    const tree_place_t *video;      /* NULL: not there */
    int set;
    double fps; /* 0: that of the video */
} face_video_t;

typedef struct affwild2 {
    const char *source;
    const task_t *task;
    media_tree_t tree;
    face_video_t *videos;
    const char **names; /* by video: people are told apart by them */
    int64_t count;
    csv_t fps; /* video,fps; rows 0: not there */
    double fps_else;
} affwild2_t;

/* --- what is there ---------------------------------------------------------------------------- */

/* .../VA_something/Train_Set/NAME.txt */
static int set_of(const char *path, const char *folder) {
    const char *file = strrchr(path, '/');
    for (int s = 0; s < ARRAY_LEN(sets); s++) {
        size_t bytes = strlen(sets[s]);
        if (file - path > (ptrdiff_t)bytes + 1 && strncmp(file - bytes, sets[s], bytes) == 0 &&
            file[-(ptrdiff_t)bytes - 1] == '/') {
            const char *parent = file - bytes - 1;
            while (parent > path && parent[-1] != '/') {
                parent--;
            }
            return strncmp(parent, folder, strlen(folder)) == 0 ? s : -1;
        }
    }
    return -1;
}

static bool ends_with(const char *text, const char *end) {
    size_t bytes = strlen(text), more = strlen(end);
    return bytes > more && strcmp(text + bytes - more, end) == 0;
}

static char *base_of(const char *name) {
    size_t bytes = strlen(name);
    bytes -= ends_with(name, "_left") ? 5 : ends_with(name, "_right") ? 6 : 0;
    return text_format("%.*s", (int)bytes, name);
}

static status_t twice(const char *what, const tree_place_t *first) {
    return status_fail(STATUS_INPUT, "%s of %s lie in %s and in %s; keep one of them", what,
                       first[0].name, first[0].path, first[1].path);
}

static status_t find_faces(affwild2_t *a, face_video_t *v) {
    int64_t count = 0, at = tree_find(&a->tree.pictures, v->name, &count);
    if (count > 1) {
        return twice("the faces", &a->tree.pictures.items[at]);
    }
    v->faces = count > 0 ? &a->tree.pictures.items[at] : NULL;
    return STATUS_OK;
}

/* By its own name, or, where two people are in it, by the name without _left and _right. */
static status_t find_video(affwild2_t *a, face_video_t *v) {
    static const char *const ends[] = {".mp4", ".avi", ".mkv", ".mov", ".webm"};
    const char *const names[] = {v->name, v->base};
    for (int n = 0; n < 2 && v->video == NULL; n++) {
        for (int e = 0; e < ARRAY_LEN(ends); e++) {
            char *file = text_format("%s%s", names[n], ends[e]);
            int64_t count = 0, at = tree_find(&a->tree.files, file, &count);
            free(file);
            if (count > 1 || (count == 1 && v->video != NULL)) {
                return twice("the videos", count > 1 ? &a->tree.files.items[at] : v->video);
            }
            v->video = count == 1 ? &a->tree.files.items[at] : v->video;
        }
    }
    return STATUS_OK;
}

static status_t find_fps(const affwild2_t *a, face_video_t *v) {
    for (int64_t row = 1; row < a->fps.row_count; row++) {
        const char *name;
        TRY(csv_text(&a->fps, row, 0, &name));
        if (strcmp(name, v->name) == 0 || strcmp(name, v->base) == 0) {
            TRY(csv_number(&a->fps, row, 1, &v->fps));
        }
    }
    if (v->fps == 0.0 && v->video == NULL) {
        v->fps = a->fps_else;
    }
    if ((v->fps == 0.0 && v->video == NULL) || v->fps < 0.0) {
        return status_fail(STATUS_INPUT,
                           "%s: no video %s, and so no rate; put it anywhere below, or write "
                           "%s/fps.csv with video,fps, or --set fps=30 for all such",
                           v->annotation->path, v->base, a->source);
    }
    return STATUS_OK;
}

static status_t add_annotation(affwild2_t *a, const tree_place_t *place, int set) {
    a->videos = array_grow(a->videos, a->count, sizeof *a->videos);
    face_video_t *v = &a->videos[a->count++];
    *v = (face_video_t){.annotation = place, .set = set};
    v->name = text_format("%.*s", (int)strlen(place->name) - 4, place->name);
    v->base = base_of(v->name);
    for (int64_t i = 0; i < a->count - 1; i++) {
        if (strcmp(a->videos[i].name, v->name) == 0) {
            return status_fail(STATUS_INPUT, "%s and %s annotate the same; keep one of them",
                               a->videos[i].annotation->path, place->path);
        }
    }
    TRY(find_faces(a, v));
    TRY(find_video(a, v));
    return find_fps(a, v);
}

static status_t look_around(affwild2_t *a) {
    char *table = text_format("%s/fps.csv", a->source);
    status_t status = file_exists(table) ? csv_open(table, &a->fps) : STATUS_OK;
    free(table);
    TRY(status);
    TRY(media_tree_open(a->source, &a->tree));
    for (int set = 0; set < ARRAY_LEN(sets); set++) {
        for (int64_t i = 0; i < a->tree.files.count; i++) {
            const tree_place_t *place = &a->tree.files.items[i];
            if (ends_with(place->name, ".txt") && set_of(place->path, a->task->folder) == set) {
                TRY(add_annotation(a, place, set));
            }
        }
    }
    if (a->count == 0) {
        return status_fail(STATUS_INPUT,
                           "%s: no annotations; they lie in %s.../Train_Set and "
                           "%s.../Validation_Set",
                           a->source, a->task->folder, a->task->folder);
    }
    a->names = alloc_zero(a->count, sizeof *a->names);
    for (int64_t i = 0; i < a->count; i++) {
        a->names[i] = a->videos[i].name;
    }
    return STATUS_OK;
}

/* --- one video -------------------------------------------------------------------------------- */

static status_t check_label(const task_t *task, const csv_t *csv, int64_t row, double value) {
    bool fits = value >= task->least && value <= task->most;
    if (value == task->ignored || (fits && (!task->whole || value == floor(value)))) {
        return STATUS_OK;
    }
    return status_fail(STATUS_INPUT, "%s:%lld: %g is neither from %g to %g nor %g; repair the row",
                       csv->path, (long long)csv->rows[row].line, value, task->least, task->most,
                       task->ignored);
}

static status_t fill_labels(const task_t *task, const csv_t *csv, float *values[],
                            uint8_t *valid[]) {
    for (int64_t row = 1; row < csv->row_count; row++) {
        double numbers[LABELS_MAX];
        bool counts = true;
        for (int i = 0; i < task->target_count; i++) {
            TRY(csv_number(csv, row, i, &numbers[i]));
            TRY(check_label(task, csv, row, numbers[i]));
            counts = counts && !(task->all_count && numbers[i] == task->ignored);
        }
        if (csv->rows[row].count != task->target_count) {
            return status_fail(STATUS_INPUT, "%s:%lld: %d numbers, not %d; repair it", csv->path,
                               (long long)csv->rows[row].line, csv->rows[row].count,
                               task->target_count);
        }
        for (int i = 0; i < task->target_count; i++) {
            bool own = counts && numbers[i] != task->ignored;
            values[i][row - 1] = own ? (float)numbers[i] : 0.0f;
            valid[i][row - 1] = own;
        }
    }
    return STATUS_OK;
}

static bool has_header(const task_t *task, const csv_t *csv) {
    const char *at = task->header;
    for (int i = 0; i < csv->rows[0].count; i++) {
        const char *name = csv->rows[0].fields[i];
        size_t bytes = strlen(name);
        if (at == NULL || strncmp(at, name, bytes) != 0 || strchr(",", at[bytes]) == NULL) {
            return false;
        }
        at = at[bytes] == ',' ? at + bytes + 1 : NULL;
    }
    return at == NULL;
}

/* Line k below the header is frame k, from 1. */
static status_t read_labels(const task_t *task, const face_video_t *v, double fps,
                            media_recording_t *made, int64_t *steps_out) {
    csv_t csv;
    TRY(csv_open(v->annotation->path, &csv));
    status_t status = STATUS_OK;
    int64_t steps = csv.row_count - 1;
    if (steps < 1 || !has_header(task, &csv)) {
        status =
            status_fail(STATUS_INPUT, "%s: not a line %s and then one for each frame; get it again",
                        csv.path, task->header);
    } else {
        float *values[LABELS_MAX];
        uint8_t *valid[LABELS_MAX];
        for (int i = 0; i < task->target_count; i++) {
            values[i] = alloc_zero(steps, sizeof *values[i]);
            valid[i] = alloc_zero(steps, 1);
            media_set(made, LABELS + i, values[i], valid[i], steps, fps, 0.0);
        }
        status = fill_labels(task, &csv, values, valid);
    }
    csv_close(&csv);
    *steps_out = steps;
    return status;
}

static status_t read_faces(const media_import_t *import, const face_video_t *v, double fps,
                           int64_t least, media_recording_t *made) {
    archive_t *own = NULL;
    media_pictures_t pictures = {0};
    const archive_t *archive = v->faces->archive;
    if (archive == NULL) {
        TRY(archive_open(v->faces->path, &own));
        archive = own;
    }
    status_t status = media_images(&import->rules, archive, v->faces->prefix, NULL, least,
                                   &made->notes, &pictures);
    archive_close(own);
    TRY(status);
    pictures.rate_hz = fps;
    media_set_pictures(made, VIDEO, &pictures, 0.0);
    int64_t more = steps_file_count(pictures.steps) - least;
    if (more > 0) {
        char *text = text_format("%s has %lld lines, and faces to frame %lld", v->name,
                                 (long long)least, (long long)(least + more));
        notes_add(&made->notes, "recordings with faces after the last label", 1, text);
        free(text);
    }
    return STATUS_OK;
}

static status_t read_sound(const media_import_t *import, const face_video_t *v,
                           media_recording_t *made) {
    archive_member_t *member = NULL;
    media_sound_t sound = {0};
    TRY(archive_member_of_file(v->video->path, &member));
    track_kind_t kind = import->config.tracks[AUDIO].kind;
    status_t status = media_sound(&import->ears, kind, v->video->path, member, &sound);
    archive_member_close(member);
    TRY(status);
    media_set_sound(made, AUDIO, &sound, 0.0);
    return STATUS_OK;
}

/* frames 0: nobody knows. */
static status_t look_at_video(const media_import_t *import, const face_video_t *v, double *fps_out,
                              int64_t *frames_out) {
    archive_member_t *member = NULL;
    double fps = 0.0;
    int64_t frames = 0;
    *fps_out = v->fps;
    *frames_out = 0;
    if (v->video == NULL) {
        return STATUS_OK;
    }
    TRY(archive_member_of_file(v->video->path, &member));
    status_t status = media_video_length(v->video->path, member, &fps, &frames);
    archive_member_close(member);
    if (status == STATUS_INPUT && v->fps > 0.0 && !import->rules.strict) {
        return STATUS_OK; /* its sound cannot be read either, which is noted there */
    }
    TRY(status);
    *fps_out = v->fps > 0.0 ? v->fps : fps;
    *frames_out = frames;
    return *fps_out > 0.0
               ? STATUS_OK
               : status_fail(STATUS_INPUT, "%s: does not state its rate; give it", v->video->path);
}

/* A line of a frame that the video does not have labels nothing. */
static void compare_lengths(const task_t *task, const face_video_t *v, int64_t lines,
                            int64_t frames, media_recording_t *made) {
    if (frames == 0 || frames == lines) {
        return;
    }
    char *text = text_format(
        "%s has %lld lines and %lld frames%s", v->name, (long long)lines, (long long)frames,
        lines > frames ? "; labels of frames that are not there are left out" : "");
    notes_list(&made->notes, "annotations with more or fewer lines than their video has frames",
               text);
    free(text);
    for (int i = 0; i < task->target_count && lines > frames; i++) {
        memset(made->valid[LABELS + i] + frames, 0, (size_t)(lines - frames));
        memset(made->values[LABELS + i] + frames, 0, (size_t)(lines - frames) * sizeof(float));
    }
}

static status_t make(const media_import_t *import, int64_t item, media_recording_t *made) {
    const affwild2_t *a = import->context;
    const face_video_t *v = &a->videos[item];
    double fps = 0.0;
    int64_t steps = 0, frames = 0;
    TRY(look_at_video(import, v, &fps, &frames));
    TRY(read_labels(a->task, v, fps, made, &steps));
    compare_lengths(a->task, v, steps, frames, made);
    if (v->faces == NULL) {
        notes_add(&made->notes, "recordings without any face, of sound alone", 1, v->name);
    } else {
        TRY(media_missing(import, read_faces(import, v, fps, steps, made), made));
    }
    if (v->video == NULL) {
        notes_add(&made->notes, "recordings without a video, and so without sound", 1, v->name);
        return STATUS_OK;
    }
    return media_missing(import, read_sound(import, v, made), made);
}

/* Everybody is one person of one video: who is in several is not told. */
static void describe(const media_import_t *import, int64_t item, const media_recording_t *made,
                     writer_recording_t *recording) {
    (void)made;
    const affwild2_t *a = import->context;
    const face_video_t *v = &a->videos[item];
    recording->name = v->name;
    recording->session = "";
    recording->group = v->base;
    recording->split = splits[v->set];
    recording->subject = item;
}

static status_t import_all(const import_job_t *job, affwild2_t *a) {
    media_import_t import = {
        .context = a,
        .make = make,
        .describe = describe,
        .noise = sound_noise_of(job->values[OPTION_NOISE], job->values[OPTION_NOISE_SEED])};
    int64_t side = (int64_t)job->values[MEDIA_SIZE];
    writer_track_t tracks[LABELS + LABELS_MAX] = {
        [VIDEO] = {"video",
                   false,
                   side * side * MEDIA_COLOURS,
                   TRACK_PIXELS,
                   {side, side, MEDIA_COLOURS}},
        [AUDIO] = {"audio",
                   false,
                   LOG_MEL_BANDS,
                   job->values[OPTION_VGGISH] > 0.0 ? TRACK_VGGISH_MEL : TRACK_LOG_MEL,
                   {0}},
    };
    for (int i = 0; i < a->task->target_count; i++) {
        tracks[LABELS + i] = (writer_track_t){a->task->targets[i], true, 1, TRACK_FEATURES, {0}};
    }
    import.config = (writer_config_t){
        .out = job->out,
        .importer = "affwild2",
        .source = a->task == &tasks[0]   ? "Aff-Wild2, valence and arousal"
                  : a->task == &tasks[1] ? "Aff-Wild2, expressions"
                                         : "Aff-Wild2, action units",
        .licence = "by agreement with its authors",
        .terms = "research only; not to be passed on",
        .salt = job->salt,
        .subjects = a->names,
        .subject_count = a->count,
        .recording_count = a->count,
        .shards = job->shards,
        .window = 16,
        .tracks = tracks,
        .track_count = LABELS + a->task->target_count,
    };
    media_take_options(job->values, OPTIONS, "", &import); /* the writer looks at the names */
    import.rules.first_frame = 1;
    return media_import_run(&import);
}

static status_t import_affwild2(const import_job_t *job) {
    TRY(media_available());
    TRY(media_pictures_available());
    affwild2_t a = {.source = job->source,
                    .task = &tasks[(int)job->values[OPTION_TASK]],
                    .fps_else = job->values[OPTION_FPS]};
    status_t status = look_around(&a);
    if (status == STATUS_OK) {
        status = import_all(job, &a);
    }
    for (int64_t i = 0; i < a.count; i++) {
        free(a.videos[i].name);
        free(a.videos[i].base);
    }
    free(a.videos);
    free(a.names);
    csv_close(&a.fps);
    media_tree_close(&a.tree);
    return status;
}

/* Looks two folders deep alone. */
static bool recognises(const char *dir) {
    char **names;
    int count;
    bool found = false;
    if (dir_list(dir, &names, &count) != STATUS_OK) {
        return false;
    }
    for (int i = 0; i < count && !found; i++) {
        static const char *const parts[] = {"VA_Estimation_Challenge",
                                            "VA_Set",
                                            "EXPR_Recognition_Challenge",
                                            "EXPR_Classification_Challenge",
                                            "EXPR_Set",
                                            "AU_Detection_Challenge",
                                            "AU_Set"};
        for (int p = 0; p < ARRAY_LEN(parts) && !found; p++) {
            char *below = text_format("%s/%s/%s/%s", dir, names[i], parts[p], sets[0]);
            char *here = text_format("%s/%s/%s", dir, parts[p], sets[0]);
            found = dir_exists(below) || dir_exists(here);
            free(here);
            free(below);
        }
    }
    names_free(names, count);
    return found;
}

const importer_t importer_affwild2 = {
    .name = "affwild2",
    .summary = "Aff-Wild2 as distributed: annotations of a challenge, aligned faces, videos",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_affwild2,
};
