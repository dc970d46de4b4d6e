/* generate_biovid.c - raw media exactly as the BioVid Heat Pain Database is distributed, of nobody:
 * what can be told from the drawn faces and the synthesised skin conductance is known
 * (raw_world.h). */
#include <math.h>
#include <stdlib.h>

#include "data-sharding/generators.h"
#include "data-sharding/media_write.h"
#include "data-sharding/raw_face.h"
#include "data-sharding/raw_world.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { PEOPLE, PER_CLASS, SIDE, SEED, FACE, SKIN, OPTIONS };
static const import_option_t options[OPTIONS] = {
    [PEOPLE] = {"people", 20, 2, 1e5, true, "of whom each has all five classes"},
    [PER_CLASS] = {"per_class", 20, 1, 1e4, true, "samples of a person and a class"},
    [SIDE] = {"side", 112, 16, 1024, true, "width and height of a video"},
    [SEED] = {"seed", 1, 0, 9007199254740992.0, true, "of all random numbers"},
    [FACE] = {"face", 1.7, 0, 20, false, "separation of BL1 and PA4 in the face, in deviations"},
    [SKIN] = {"skin", 1.7, 0, 20, false, "the same in the skin conductance"},
};

enum { SIGNAL_HZ = 512, ROWS = 2816, FPS = 25, FRAMES = 138 };
static const char *const classes[WORLD_PAIN_CLASSES] = {"BL1", "PA1", "PA2", "PA3", "PA4"};
static const char *const looked_at[WORLD_SETS] = {"video", "gsr", "all"};
/* Half-way between BL1 and PA4 a face is grey; each deviation is this part of its range. */
static const double face_step = 0.3, skin_step = 0.35;

typedef struct tally {
    int64_t right[WORLD_SETS], count;
} tally_t;

typedef struct world {
    const double *values, *separations;
    const char *out;
    uint64_t seed;
    FILE *table, *numbers;
    tally_t tallies[WORLD_PAIN_CLASSES]; /* 0: five classes; k: BL1 against PAk */
} world_t;

typedef struct sample {
    const world_t *world;
    char *subject, *name;
    double numbers[2]; /* face, skin */
} sample_t;

/* --- files ------------------------------------------------------------------------------------ */

static void draw_frame(const void *context, int64_t frame, uint8_t *grey_out) {
    (void)frame;
    const sample_t *s = context;
    double mood = face_step * (s->numbers[0] - 0.5 * s->world->separations[0]);
    raw_face_draw(fmin(fmax(mood, -1.5), 1.5), (int)s->world->values[SIDE], grey_out);
}

static status_t write_video(const sample_t *s) {
    written_video_t video = {.side = (int)s->world->values[SIDE],
                             .fps = FPS,
                             .frames = FRAMES,
                             .draw = draw_frame,
                             .context = s};
    char *folder = text_format("%s/video/%s", s->world->out, s->subject);
    char *path = text_format("%s/%s.mp4", folder, s->name);
    status_t status = dir_make(folder);
    if (status == STATUS_OK) {
        status = media_write_video(path, &video);
    }
    free(path);
    free(folder);
    return status;
}

/* Skin conductance rises, the more the higher its number; heart and muscle tell nothing. */
static void write_rows(const sample_t *s, FILE *file) {
    double rise = skin_step * (s->numbers[1] - 0.5 * s->world->separations[1]);
    fprintf(file, "time\tgsr\tecg\temg_trapezius\n");
    for (int row = 0; row < ROWS; row++) {
        double part = (double)row / ROWS;
        fprintf(file, "%d\t%.6f\t%.3f\t%.3f\n", (int)(row * INT64_C(1000000) / SIGNAL_HZ),
                2.0 + rise * part, sin(row * 0.08), cos(row * 0.9));
    }
}

static status_t write_signals(const sample_t *s) {
    char *folder = text_format("%s/biosignals_filtered/%s", s->world->out, s->subject);
    char *name = text_format("%s_bio.csv", s->name);
    FILE *file = NULL;
    status_t status = dir_make(folder);
    if (status == STATUS_OK) {
        status = generate_begin(folder, name, &file);
    }
    if (status == STATUS_OK) {
        write_rows(s, file);
        status = fclose(file) == 0 ? STATUS_OK : generate_full(folder);
    }
    free(name);
    free(folder);
    return status;
}

static void judge(world_t *w, const sample_t *s, int pain) {
    for (int apart = 0; apart < WORLD_PAIN_CLASSES; apart++) {
        tally_t *tally = &w->tallies[apart];
        if (apart > 0 && pain != 0 && pain != apart) {
            continue;
        }
        tally->count++;
        for (int set = 0; set < WORLD_SETS; set++) {
            tally->right[set] += world_pain_best(set, s->numbers, w->separations, apart) == pain;
        }
    }
}

static status_t write_sample(world_t *w, int64_t person, int pain, int64_t n) {
    int64_t number = pain * (int64_t)w->values[PER_CLASS] + n;
    sample_t s = {.world = w};
    s.subject = text_format("%06lld_%c_%02lld", (long long)(70000 + person + 1),
                            person % 2 == 0 ? 'w' : 'm', (long long)(20 + person % 45));
    s.name = text_format("%s-%s-%03lld", s.subject, classes[pain], (long long)n + 1);
    s.numbers[0] = world_pain(w->seed, "raw.face", person, number, pain, w->separations[0]);
    s.numbers[1] = world_pain(w->seed, "raw.skin", person, number, pain, w->separations[1]);
    fprintf(w->table, "%lld\t%s\t%d\t%s\t%lld\t%s\n", (long long)person + 1, s.subject, pain,
            classes[pain], (long long)number + 1, s.name);
    fprintf(w->numbers, "%s,%d,%.9f,%.9f\n", s.name, pain, s.numbers[0], s.numbers[1]);
    judge(w, &s, pain);
    status_t status = write_signals(&s);
    if (status == STATUS_OK) {
        status = write_video(&s);
    }
    free(s.subject);
    free(s.name);
    return status;
}

static status_t write_samples(world_t *w) {
    fprintf(w->table, "subject_id\tsubject_name\tclass_id\tclass_name\tsample_id\tsample_name\n");
    fprintf(w->numbers, "sample,class,face,skin\n");
    for (int64_t person = 0; person < (int64_t)w->values[PEOPLE]; person++) {
        for (int pain = 0; pain < WORLD_PAIN_CLASSES; pain++) {
            for (int64_t n = 0; n < (int64_t)w->values[PER_CLASS]; n++) {
                TRY(write_sample(w, person, pain, n));
            }
        }
    }
    return STATUS_OK;
}

/* --- the optimum ------------------------------------------------------------------------------ */

/* accuracy: of the best decisions on these samples; expected: on as many as one likes. */
static json_t *optimum_of(const world_t *w) {
    json_t *tasks = json_object();
    for (int apart = 0; apart < WORLD_PAIN_CLASSES; apart++) {
        char *name = text_format("task=%d", apart);
        json_t *row = json_object();
        for (int set = 0; set < WORLD_SETS; set++) {
            const tally_t *tally = &w->tallies[apart];
            json_t *cell =
                json_pack("{s:f}", "accuracy", (double)tally->right[set] / (double)tally->count);
            if (apart > 0) {
                json_object_set_new(cell, "expected",
                                    json_real(world_pain_accuracy(set, w->separations, apart)));
            }
            json_object_set_new(row, looked_at[set], cell);
        }
        json_object_set_new(tasks, name, row);
        free(name);
    }
    return json_pack("{s:o}", "tasks", tasks);
}

static status_t fill(world_t *w) {
    char *folder = text_format("%s/starting_point", w->out);
    status_t status = dir_make(folder);
    if (status == STATUS_OK) {
        status = generate_begin(folder, "samples.csv", &w->table);
    }
    if (status == STATUS_OK) {
        status = generate_begin(w->out, "numbers.csv", &w->numbers);
    }
    free(folder);
    if (status == STATUS_OK) {
        status = write_samples(w);
    }
    bool good = (w->table == NULL || fclose(w->table) == 0) &&
                (w->numbers == NULL || fclose(w->numbers) == 0);
    TRY(status);
    if (!good) {
        return generate_full(w->out);
    }
    return generate_optimum(w->out, &generator_biovid, w->values, optimum_of(w));
}

static status_t generate(const import_job_t *job) {
    world_t world = {.values = job->values,
                     .separations = &job->values[FACE],
                     .out = job->out,
                     .seed = (uint64_t)job->values[SEED]};
    return fill(&world);
}

const importer_t generator_biovid = {
    .name = "biovid",
    .summary = "videos, signals and samples.csv as BioVid has them",
    .options = options,
    .option_count = OPTIONS,
    .run = generate,
};
