#include "unit/raw_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/media_case.h"

/* --- what there is to see and to hear ------------------------------------------------------- */

double raw_seen(int number, double time_s) {
    return sin(2.0 * M_PI * 0.23 * time_s * (1.0 + 0.1 * number) + number);
}

double raw_heard(int number, double time_s) {
    return sin(2.0 * M_PI * 0.17 * time_s + 2.0 * number + 1.0);
}

double raw_valence(int number, double time_s) {
    return 0.5 * (raw_seen(number, time_s) + raw_heard(number, time_s));
}

double raw_arousal(int number, double time_s) {
    return 0.5 * (raw_seen(number, time_s) - raw_heard(number, time_s));
}

double raw_face(double seen, int side, int x, int y) {
    double across = (x + 0.5) / side * 2.0 - 1.0, down = (y + 0.5) / side * 2.0 - 1.0;
    double radius = hypot(across / 0.8, down / 0.95);
    bool eye = hypot(fabs(across) - 0.35, down + 0.35) < 0.1;
    bool mouth = fabs(down - 0.55 + 0.2 * seen * (across * across * 4.0 - 0.5)) < 0.05 &&
                 fabs(across) < 0.35;
    return radius > 1.0 ? 40.0 : eye || mouth ? 20.0 : 120.0 + 60.0 * seen;
}

double raw_see(const uint8_t *rgb, int side) {
    double sum = 0.0;
    int64_t count = 0;
    for (int y = side * 7 / 16; y < side * 9 / 16; y++) {
        for (int x = side * 7 / 16; x < side * 9 / 16; x++) {
            for (int c = 0; c < 3; c++) {
                sum += rgb[(y * side + x) * 3 + c];
                count++;
            }
        }
    }
    return (sum / (double)count - 120.0) / 60.0;
}

/* 500 Hz, 20 dB below the full scale, and 10 dB up or down. */
static double voice(int number, double time_s) {
    double level = pow(10.0, (-20.0 + 10.0 * raw_heard(number, time_s)) / 20.0);
    return level * sin(2.0 * M_PI * 500.0 * time_s);
}

/* The transform of a tone of amplitude a in the middle of a window whose weights add to 441 has the
 * size 441 a / 2; the band's weights and the bins beside are a constant, which tests allow for. */
double raw_hear(const float *decibels) {
    double top = -INFINITY;
    for (int i = 0; i < 64; i++) {
        top = fmax(top, decibels[i]);
    }
    return (top - 20.0 * log10(441.0 / 2.0) + 20.0) / 10.0;
}

/* --- files ---------------------------------------------------------------------------------- */

static void write_file(const char *path, const void *data, size_t bytes) {
    char *dir = text_copy(path);
    *strrchr(dir, '/') = '\0';
    REQUIRE(dir_make(dir) == STATUS_OK);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
    free(dir);
}

void raw_write_text(const char *dir, const char *name, const char *text) {
    char *path = text_format("%s/%s", dir, name);
    write_file(path, text, strlen(text));
    free(path);
}

/* For fprintf, with its folder. */
static FILE *begin_text(const char *dir, const char *name) {
    char *path = text_format("%s/%s", dir, name);
    write_file(path, "", 0);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    free(path);
    return file;
}

static unsigned char *encode_face(double seen, int side, unsigned long *bytes_out) {
    uint8_t *rgb = alloc_zero((int64_t)side * side, 3);
    for (int i = 0; i < side * side; i++) {
        memset(rgb + 3 * (int64_t)i, (int)lround(raw_face(seen, side, i % side, i / side)), 3);
    }
    unsigned char *data = NULL;
    tjhandle encoder = tjInitCompress();
    *bytes_out = 0;
    REQUIRE(tjCompress2(encoder, rgb, side, 0, side, TJPF_RGB, &data, bytes_out, TJSAMP_444, 95,
                        0) == 0);
    tjDestroy(encoder);
    free(rgb);
    return data;
}

void raw_write_jpeg(const char *path, double seen, int side) {
    unsigned long bytes;
    unsigned char *data = encode_face(seen, side, &bytes);
    write_file(path, data, bytes);
    tjFree(data);
}

static void put32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

void raw_write_wav(const char *path, int number, double seconds) {
    uint32_t count = (uint32_t)(seconds * RAW_RATE_HZ), bytes = 44 + 2 * count;
    uint8_t *data = alloc_zero(bytes, 1);
    static const uint8_t head[] = {'R', 'I', 'F', 'F', 0,  0, 0, 0, 'W', 'A', 'V', 'E',
                                   'f', 'm', 't', ' ', 16, 0, 0, 0, 1,   0,   1,   0};
    memcpy(data, head, sizeof head);
    put32(data + 4, bytes - 8);
    put32(data + 24, RAW_RATE_HZ);
    put32(data + 28, 2 * RAW_RATE_HZ);
    put32(data + 32, 2 | 16U << 16);
    memcpy(data + 36, "data", 4);
    put32(data + 40, 2 * count);
    for (uint32_t i = 0; i < count; i++) {
        int16_t sample = (int16_t)lround(32767.0 * voice(number, (double)i / RAW_RATE_HZ));
        memcpy(data + 44 + 2 * (int64_t)i, &sample, sizeof sample);
    }
    write_file(path, data, bytes);
    free(data);
}

typedef struct scene {
    int number, fps;
    raw_place_t place;
    double level; /* instead of what is seen; NaN: that */
} scene_t;

static double grey_of(const void *context, int frame, int x, int y) {
    const scene_t *s = context;
    double seen = isnan(s->level) ? raw_seen(s->number, (double)frame / s->fps) : s->level;
    bool inside = x >= s->place.x && x < s->place.x + s->place.side && y >= s->place.y &&
                  y < s->place.y + s->place.side;
    return inside ? raw_face(seen, s->place.side, x - s->place.x, y - s->place.y)
                  : 90.0 + 30.0 * ((x / 16 + y / 16) % 2);
}

static double sound_of(const void *context, int sample) {
    return voice(((const scene_t *)context)->number, (double)sample / RAW_RATE_HZ);
}

static void write_scene(const char *path, const scene_t *scene, int frames, int width, int height,
                        bool sound) {
    media_video_t what = {.width = width,
                          .height = height,
                          .fps_num = scene->fps,
                          .fps_den = 1,
                          .frames = frames,
                          .codec = "mjpeg",
                          .rate_hz = sound ? RAW_RATE_HZ : 0,
                          .audio_codec = "pcm_s16le",
                          .samples = (int)((int64_t)frames * RAW_RATE_HZ / scene->fps),
                          .grey = grey_of,
                          .sound = sound_of,
                          .context = scene};
    char *dir = text_copy(path);
    *strrchr(dir, '/') = '\0';
    REQUIRE(dir_make(dir) == STATUS_OK);
    free(dir);
    if (strcmp(strrchr(path, '.'), ".mp4") == 0) {
        what.codec = "mpeg4";
        what.audio_codec = "aac";
    }
    REQUIRE(media_write(path, &what) == 0);
}

void raw_write_video(const char *path, int number, int fps, int frames, const raw_place_t *place,
                     bool sound) {
    const raw_place_t all = {0, 0, RAW_SIDE};
    scene_t scene = {number, fps, place != NULL ? *place : all, NAN};
    write_scene(path, &scene, frames, place != NULL ? 320 : RAW_SIDE,
                place != NULL ? 240 : RAW_SIDE, sound);
}

/* --- Aff-Wild2 ------------------------------------------------------------------------------ */

const raw_video_t raw_videos[] = {
    {"v1", "v1", "Train_Set", 1, 30, 60, 60, 21, 33, 3, "cropped_aligned", "batch1/v1.mp4"},
    {"v2_left", "v2", "Train_Set", 2, 25, 40, 43, 1, 3, 0, "batch2/faces.tar", "batch2/v2.avi"},
    {"v2_right", "v2", "Train_Set", 2, 25, 40, 38, 0, 0, 0, "batch2/faces.tar", "batch2/v2.avi"},
    {"10-60-1280x720", "10-60-1280x720", "Validation_Set", 3, 30, 50, 50, 0, 0, 0,
     "cropped_aligned", NULL},
    {"v9", "v9", "Validation_Set", 4, 30, 30, 0, 0, 0, 30, "", "batch1/v9.mp4"},
};
_Static_assert(sizeof raw_videos / sizeof raw_videos[0] == RAW_VIDEOS, "as many as are listed");

static void write_annotation(const char *dir, const raw_video_t *v) {
    char *name =
        text_format("6th ABAW Annotations/VA_Estimation_Challenge/%s/%s.txt", v->set, v->name);
    FILE *file = begin_text(dir, name);
    fprintf(file, "valence,arousal\n");
    for (int i = 0; i < v->lines; i++) {
        double time = (double)i / v->fps;
        bool ignored = i < v->ignored;
        fprintf(file, "%.4f,%.4f\n", ignored ? -5.0 : raw_valence(v->number, time),
                ignored ? -5.0 : raw_arousal(v->number, time));
    }
    REQUIRE(fclose(file) == 0);
    free(name);
}

static void tar_add(FILE *tar, const char *name, const void *data, size_t bytes) {
    char head[512] = {0};
    static const char zeros[512];
    snprintf(head, 100, "%s", name);
    memcpy(head + 100, "0000644", 8);
    snprintf(head + 124, 12, "%011zo", bytes);
    memcpy(head + 136, "00000000000", 12);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar", 6);
    memcpy(head + 263, "00", 2);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof head; i++) {
        sum += (unsigned char)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum);
    REQUIRE(fwrite(head, sizeof head, 1, tar) == 1 && fwrite(data, 1, bytes, tar) == bytes);
    size_t rest = (512 - bytes % 512) % 512;
    REQUIRE(rest == 0 || fwrite(zeros, rest, 1, tar) == 1);
}

static void write_faces(const char *dir, const raw_video_t *v, FILE *tar) {
    for (int frame = 1; frame <= v->faces; frame++) {
        if (frame >= v->gap_first && frame < v->gap_end) {
            continue;
        }
        unsigned long bytes;
        unsigned char *data =
            encode_face(raw_seen(v->number, (double)(frame - 1) / v->fps), RAW_SIDE, &bytes);
        char *name = text_format("%s/%05d.jpg", v->name, frame);
        if (strstr(v->faces_in, ".tar") != NULL) {
            tar_add(tar, name, data, bytes);
        } else {
            char *path = text_format("%s/%s/%s", dir, v->faces_in, name);
            write_file(path, data, bytes);
            free(path);
        }
        free(name);
        tjFree(data);
    }
}

void raw_affwild2(const char *dir) {
    char *path = text_format("%s/batch2/faces.tar", dir);
    static const char zeros[1024];
    write_file(path, "", 0);
    FILE *tar = fopen(path, "wb");
    REQUIRE(tar != NULL);
    for (int i = 0; i < RAW_VIDEOS; i++) {
        const raw_video_t *v = &raw_videos[i];
        write_annotation(dir, v);
        write_faces(dir, v, tar);
        if (v->video != NULL) {
            char *video = text_format("%s/%s", dir, v->video);
            raw_write_video(video, v->number, v->fps, v->lines, NULL, true);
            free(video);
        }
    }
    REQUIRE(fwrite(zeros, sizeof zeros, 1, tar) == 1 && fclose(tar) == 0);
    raw_write_text(dir, "fps.csv", "video,fps\n10-60-1280x720,30\n");
    free(path);
}

/* --- BioVid --------------------------------------------------------------------------------- */

const char *const raw_people[RAW_PEOPLE] = {"071309_w_21", "082315_w_60", "100117_m_36"};
static const char *const raw_class_names[RAW_CLASSES] = {"BL1", "PA1", "PA2", "PA3", "PA4"};

char *raw_sample(int person, int class_index, int n) {
    return text_format("%s-%s-%03d", raw_people[person], raw_class_names[class_index], n + 1);
}

/* A class and a half above or below it may look or feel alike; not both. */
double raw_pain_seen(int person, int class_index, int n) {
    return (class_index + 0.6 * sin(1.7 * person + 2.9 * n + class_index)) / 5.0 * 1.6 - 0.6;
}

double raw_gsr(int person, int class_index, int n, int row) {
    double felt = class_index + 0.6 * sin(2.3 * person + 1.1 * n + 3.0 * class_index);
    return 2.0 + 0.5 * person + 0.3 * felt * row / RAW_ROWS;
}

static void write_signals(const char *dir, int person, int c, int n) {
    char *name = raw_sample(person, c, n);
    char *path = text_format("biosignals_filtered/%s/%s_bio.csv", raw_people[person], name);
    FILE *file = begin_text(dir, path);
    fprintf(file, "time\tgsr\tecg\temg_trapezius\n");
    for (int row = 0; row < RAW_ROWS; row++) {
        fprintf(file, "%d\t%.6f\t%.3f\t%.3f\n", (int)(row * INT64_C(1000000) / 512),
                raw_gsr(person, c, n, row), sin(row * 0.08), cos(row * 0.9));
    }
    REQUIRE(fclose(file) == 0);
    free(path);
    free(name);
}

static void write_pain(const char *dir, int person, int c, int n) {
    char *name = raw_sample(person, c, n);
    char *path = text_format("%s/video/%s/%s.mp4", dir, raw_people[person], name);
    const scene_t scene = {0, 25, {0, 0, RAW_SIDE}, raw_pain_seen(person, c, n)};
    write_scene(path, &scene, RAW_FRAMES, RAW_SIDE, RAW_SIDE, false);
    free(path);
    free(name);
}

void raw_biovid(const char *dir) {
    FILE *file = begin_text(dir, "starting_point/samples.csv");
    fprintf(file, "subject_id\tsubject_name\tclass_id\tclass_name\tsample_id\tsample_name\n");
    for (int p = 0; p < RAW_PEOPLE; p++) {
        for (int c = 0; c < RAW_CLASSES; c++) {
            for (int n = 0; n < RAW_PER_CLASS; n++) {
                char *name = raw_sample(p, c, n);
                fprintf(file, "%d\t%s\t%d\t%s\t%d\t%s\n", p + 1, raw_people[p], c,
                        raw_class_names[c], n + 1, name);
                free(name);
                write_signals(dir, p, c, n);
                write_pain(dir, p, c, n);
            }
        }
    }
    REQUIRE(fclose(file) == 0);
}

/* --- a manifest ----------------------------------------------------------------------------- */

const raw_place_t raw_media_place = {150, 60, 100};

/* As OpenFace writes them: from 1, a blank before each name, success 0 where there is no face. */
static void write_boxes(const char *dir, const char *name) {
    const raw_place_t *p = &raw_media_place;
    FILE *file = begin_text(dir, name);
    fprintf(file, "frame, face_id, timestamp, confidence, success, x_0, x_1, y_0, y_1\n");
    for (int i = 0; i < RAW_MEDIA_FRAMES; i++) {
        bool lost = i >= 30 && i < 34;
        fprintf(file, "%d, 0, %.3f, %.2f, %d, %d, %d, %d, %d\n", i + 1, (double)i / RAW_MEDIA_FPS,
                lost ? 0.0 : 0.95, !lost, p->x, p->x + p->side, p->y, p->y + p->side);
    }
    REQUIRE(fclose(file) == 0);
}

/* unit_s: of a column of times, which begin at half a second; 0: there is none. */
static void write_table(const char *dir, const char *name, const char *header, double unit_s,
                        double rate_hz, int rows, double (*value)(int, double), int number) {
    FILE *file = begin_text(dir, name);
    fprintf(file, "%s\n", header);
    for (int i = 0; i < rows; i++) {
        double time = i / rate_hz + (unit_s > 0.0 ? 0.5 : 0.0);
        if (unit_s > 0.0) {
            fprintf(file, "%.6f,", time / unit_s);
        }
        fprintf(file, "%.6f\n", value(number, time));
    }
    REQUIRE(fclose(file) == 0);
}

void raw_media(const char *dir) {
    char *video = text_format("%s/Übung/α β.mp4", dir), *wav = text_format("%s/two.wav", dir);
    raw_write_video(video, 5, RAW_MEDIA_FPS, RAW_MEDIA_FRAMES, &raw_media_place, true);
    raw_write_wav(wav, 6, 3.0);
    write_boxes(dir, "faces.csv");
    for (int i = 0; i < RAW_MEDIA_FRAMES; i++) {
        if (i < 10 || i >= 14) {
            char *path = text_format("%s/two/img_%05d.jpg", dir, i + 1);
            raw_write_jpeg(path, raw_seen(6, (double)i / RAW_MEDIA_FPS), 160);
            free(path);
        }
    }
    write_table(dir, "one_label.csv", "valence", 0.0, 10.0, 30, raw_valence, 5);
    write_table(dir, "two_label.csv", "time_ms,valence", 1e-3, 10.0, 25, raw_valence, 6);
    write_table(dir, "one_eda.csv", "time,eda", 1.0, 64.0, 150, raw_heard, 5);
    raw_write_text(dir, "manifest.csv",
                   "recording,subject,group,modality,rate_hz,path,boxes\n"
                   "one,Ann,g1,video:face,,Übung/α β.mp4,faces.csv\n"
                   "one,Ann,g1,audio:voice,,Übung/α β.mp4,\n"
                   "one,Ann,g1,signal:eda,,one_eda.csv,\n"
                   "one,Ann,g1,label:valence,10,one_label.csv,\n"
                   "two,Bob,,video:face,25,two,\n"
                   "two,Bob,,audio:voice,,two.wav,\n"
                   "two,Bob,,label:valence,,two_label.csv,\n");
    free(wav);
    free(video);
}
