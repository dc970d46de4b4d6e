/* raw_case.h - raw media for tests, in the layouts that the importers read, of which everything is
 * known: faces whose brightness is what is seen, voices whose loudness is what is heard, signals.
 * Valence is half the sum of the two and arousal half the difference, so that each can be told in
 * part from one sense and wholly from both. */
#ifndef JMT_RAW_CASE_H
#define JMT_RAW_CASE_H

#include <stdbool.h>
#include <stdint.h>

enum { RAW_SIDE = 112, RAW_RATE_HZ = 44100 };

/* -1 to 1, of recording `number` at a time. */
double raw_seen(int number, double time_s);
double raw_heard(int number, double time_s);
double raw_valence(int number, double time_s);
double raw_arousal(int number, double time_s);

/* A face fills a picture of `side`: 120 + 60 x seen in the middle, 40 outside. */
double raw_face(double seen, int side, int x, int y);
/* What a picture shows: the mean of its middle, turned back. rgb: [side, side, 3] */
double raw_see(const uint8_t *rgb, int side);
/* What a frame of decibels lets hear: its loudest band. */
double raw_hear(const float *decibels);

void raw_write_text(const char *dir, const char *name, const char *text);
void raw_write_jpeg(const char *path, double seen, int side);
void raw_write_wav(const char *path, int number, double seconds);
/* A video with the face at its place, 320 x 240 or just the face (place NULL), and the voice. */
typedef struct raw_place {
    int x, y, side;
} raw_place_t;
void raw_write_video(const char *path, int number, int fps, int frames, const raw_place_t *place,
                     bool sound);

/* --- Aff-Wild2 --- */
typedef struct raw_video {
    const char *name, *base, *set;
    int number, fps, lines;
    int faces;              /* the last frame with a picture; 0: no pictures at all */
    int gap_first, gap_end; /* frames (from 1) without a picture */
    int ignored;            /* the first so many lines are -5 */
    const char *faces_in;   /* a folder, or a .tar */
    const char *video;      /* NULL: not there */
} raw_video_t;
extern const raw_video_t raw_videos[]; /* in the order of the import */
enum { RAW_VIDEOS = 5 };
void raw_affwild2(const char *dir);

/* --- BioVid --- */
enum { RAW_PEOPLE = 3, RAW_PER_CLASS = 2, RAW_CLASSES = 5, RAW_ROWS = 2816, RAW_FRAMES = 138 };
extern const char *const raw_people[RAW_PEOPLE];
/* The class and what disturbs the face and the skin of a sample; its name, caller frees. */
char *raw_sample(int person, int class_index, int n);
double raw_pain_seen(int person, int class_index, int n); /* of the face */
double raw_gsr(int person, int class_index, int n, int row);
void raw_biovid(const char *dir);

/* --- anybody's own: two recordings of the manifest --- */
enum { RAW_MEDIA_FRAMES = 75, RAW_MEDIA_FPS = 25 };
extern const raw_place_t raw_media_place;
void raw_media(const char *dir);

#endif
