#include "data-sharding/media_write.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { JPEG_QUALITY = 95, BITS_A_SECOND = 800000, SOUND_BITS_A_SECOND = 128000 };

status_t media_write_jpeg(const char *path, const uint8_t *rgb, int side) {
    unsigned char *data = NULL;
    unsigned long bytes = 0;
    tjhandle encoder = tjInitCompress();
    REQUIRE(tjCompress2(encoder, rgb, side, 0, side, TJPF_RGB, &data, &bytes, TJSAMP_444,
                        JPEG_QUALITY, 0) == 0);
    tjDestroy(encoder);
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fwrite(data, 1, bytes, file) == bytes;
    good = file != NULL && fclose(file) == 0 && good;
    tjFree(data);
    return good ? STATUS_OK
                : status_fail(STATUS_FAILED,
                              "cannot write %s; free some space, or use another --out", path);
}

/* --- videos ----------------------------------------------------------------------------------- */

typedef struct track {
    AVStream *stream;
    AVCodecContext *codec;
    AVFrame *frame;
} track_t;

typedef struct writer {
    const char *path;
    AVFormatContext *format;
    AVPacket *packet;
    track_t pictures, sound;
} writer_t;

static status_t refuse(const writer_t *w) {
    return status_fail(STATUS_FAILED,
                       "cannot write %s by FFmpeg's libraries; free some space, or use another "
                       "--out",
                       w->path);
}

static void set_pictures(const written_video_t *v, AVCodecContext *codec) {
    codec->width = codec->height = v->side;
    codec->time_base = (AVRational){1, v->fps};
    codec->framerate = (AVRational){v->fps, 1};
    codec->pix_fmt = AV_PIX_FMT_YUV420P;
    codec->bit_rate = BITS_A_SECOND;
    codec->gop_size = v->fps;
}

static void set_sound(const written_video_t *v, AVCodecContext *codec) {
    codec->sample_rate = v->rate_hz;
    codec->sample_fmt = AV_SAMPLE_FMT_FLTP;
    codec->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_MONO;
    codec->time_base = (AVRational){1, v->rate_hz};
    codec->bit_rate = SOUND_BITS_A_SECOND;
}

static status_t open_track(writer_t *w, enum AVCodecID id, const written_video_t *v,
                           track_t *track) {
    const AVCodec *encoder = avcodec_find_encoder(id);
    if (encoder == NULL) {
        return status_fail(STATUS_UNAVAILABLE,
                           "FFmpeg's libraries lack the encoder %s; install a build that has it",
                           avcodec_get_name(id));
    }
    track->codec = avcodec_alloc_context3(encoder);
    track->frame = av_frame_alloc();
    (encoder->type == AVMEDIA_TYPE_VIDEO ? set_pictures : set_sound)(v, track->codec);
    track->codec->thread_count = 1;
    if ((w->format->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
        track->codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    track->stream = avformat_new_stream(w->format, NULL);
    if (avcodec_open2(track->codec, encoder, NULL) < 0 ||
        avcodec_parameters_from_context(track->stream->codecpar, track->codec) < 0) {
        return refuse(w);
    }
    track->stream->time_base = track->codec->time_base;
    track->stream->avg_frame_rate = track->codec->framerate;
    return STATUS_OK;
}

/* frame NULL: what the encoder still has. */
static status_t encode(writer_t *w, track_t *track, AVFrame *frame) {
    if (avcodec_send_frame(track->codec, frame) < 0) {
        return refuse(w);
    }
    while (avcodec_receive_packet(track->codec, w->packet) == 0) {
        av_packet_rescale_ts(w->packet, track->codec->time_base, track->stream->time_base);
        w->packet->stream_index = track->stream->index;
        if (av_interleaved_write_frame(w->format, w->packet) < 0) {
            return refuse(w);
        }
    }
    return STATUS_OK;
}

/* Y of ITU-R BT.601; grey has no colours. */
static status_t write_pictures(writer_t *w, const written_video_t *v, uint8_t *grey) {
    AVFrame *frame = w->pictures.frame;
    for (int64_t i = 0; i < v->frames; i++) {
        frame->format = AV_PIX_FMT_YUV420P;
        frame->width = frame->height = v->side;
        frame->pts = i;
        if (av_frame_get_buffer(frame, 0) < 0) {
            return refuse(w);
        }
        v->draw(v->context, i, grey);
        for (int y = 0; y < v->side; y++) {
            for (int x = 0; x < v->side; x++) {
                double level = 16.0 + grey[y * v->side + x] * 219.0 / 255.0;
                frame->data[0][y * frame->linesize[0] + x] = (uint8_t)lround(level);
            }
        }
        for (int p = 1; p < 3; p++) {
            memset(frame->data[p], 128, (size_t)frame->linesize[p] * (size_t)((v->side + 1) / 2));
        }
        status_t status = encode(w, &w->pictures, frame);
        av_frame_unref(frame);
        TRY(status);
    }
    return encode(w, &w->pictures, NULL);
}

static status_t write_sound(writer_t *w, const written_video_t *v) {
    AVFrame *frame = w->sound.frame;
    int64_t size = w->sound.codec->frame_size;
    for (int64_t first = 0; first < v->samples; first += size) {
        frame->format = AV_SAMPLE_FMT_FLTP;
        frame->nb_samples = (int)min_i64(size, v->samples - first);
        frame->sample_rate = v->rate_hz;
        frame->pts = first;
        if (av_channel_layout_copy(&frame->ch_layout, &w->sound.codec->ch_layout) < 0 ||
            av_frame_get_buffer(frame, 0) < 0) {
            return refuse(w);
        }
        for (int i = 0; i < frame->nb_samples; i++) {
            ((float *)frame->data[0])[i] = (float)v->sound(v->context, first + i);
        }
        status_t status = encode(w, &w->sound, frame);
        av_frame_unref(frame);
        TRY(status);
    }
    return encode(w, &w->sound, NULL);
}

static status_t write_all(writer_t *w, const written_video_t *v) {
    av_log_set_level(AV_LOG_QUIET);
    if (avformat_alloc_output_context2(&w->format, NULL, NULL, w->path) < 0) {
        return refuse(w);
    }
    w->format->flags |= AVFMT_FLAG_BITEXACT; /* no dates and versions: the same bytes again */
    TRY(open_track(w, AV_CODEC_ID_MPEG4, v, &w->pictures));
    if (v->rate_hz > 0) {
        TRY(open_track(w, AV_CODEC_ID_AAC, v, &w->sound));
    }
    if (avio_open(&w->format->pb, w->path, AVIO_FLAG_WRITE) < 0 ||
        avformat_write_header(w->format, NULL) < 0) {
        return refuse(w);
    }
    w->packet = av_packet_alloc();
    uint8_t *grey = alloc_zero((int64_t)v->side * v->side, 1);
    status_t status = write_pictures(w, v, grey);
    free(grey);
    TRY(status);
    if (v->rate_hz > 0) {
        TRY(write_sound(w, v));
    }
    bool good = av_write_trailer(w->format) >= 0;
    return avio_closep(&w->format->pb) >= 0 && good ? STATUS_OK : refuse(w);
}

status_t media_write_video(const char *path, const written_video_t *video) {
    writer_t w = {.path = path};
    status_t status = write_all(&w, video);
    if (w.format != NULL && w.format->pb != NULL) {
        avio_closep(&w.format->pb);
    }
    for (int i = 0; i < 2; i++) {
        track_t *track = i == 0 ? &w.pictures : &w.sound;
        av_frame_free(&track->frame);
        avcodec_free_context(&track->codec);
    }
    av_packet_free(&w.packet);
    avformat_free_context(w.format);
    return status;
}
