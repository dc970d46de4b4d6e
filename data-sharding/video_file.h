/* video_file.h - one stream of a video file as decoded frames; private to data-sharding/. */
#ifndef JMT_VIDEO_FILE_H
#define JMT_VIDEO_FILE_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdbool.h>

#include "data-sharding/archive.h"

typedef struct video_file {
    char *label;
    const archive_member_t *member;
    int64_t bytes, at; /* of the member; where the library reads */
    status_t read_status;
    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;               /* what video_file_next gave last */
    int64_t packets, packets_end; /* how many were read; where the last one ends, in time */
    bool drained;
} video_file_t;

/* The best stream of a kind; where there is none, STATUS_INPUT. Free with video_file_close, also
 * where this failed. */
status_t video_file_open(const char *label, const archive_member_t *member, enum AVMediaType kind,
                         video_file_t *file) MUST_CHECK;
void video_file_close(video_file_t *file);

/* The next decoded frame, in file->frame, and its time; or *end_out. */
status_t video_file_next(video_file_t *file, double *time_s_out, bool *end_out) MUST_CHECK;

/* How many pictures the file states, or has where it states none: then all of it is read. Before
 * the first video_file_next. */
status_t video_file_count(video_file_t *file, int64_t *count_out) MUST_CHECK;

/* Refuses a file that ends before its own lengths say, or does not state them. */
status_t video_file_check_length(const video_file_t *file) MUST_CHECK;

/* A line that names the file and where it is. */
status_t video_file_refuse(const video_file_t *file, const char *why) MUST_CHECK;

#endif
