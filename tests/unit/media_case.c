#include "unit/media_case.h"

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <string.h>

#include "kernels/base/status.h"

typedef struct track {
    AVStream *stream;
    AVCodecContext *codec;
    AVBSFContext *filter;
    int64_t swapped;
} track_t;

void media_colour(const media_video_t *what, int frame, int quarter, uint8_t rgb_out[3]) {
    static const uint8_t colours[][3] = {
        {200, 40, 40}, {40, 180, 60}, {50, 60, 190}, {220, 170, 140}, {0, 0, 0}};
    if (what->matrix == 0) {
        memset(rgb_out, 40 + frame * 37 % 160, 3);
    } else {
        memcpy(rgb_out, colours[(frame + quarter) % 5], 3);
    }
}

/* Y, Cb, Cr by the definition of ITU-R BT.601 or BT.709. */
static void to_yuv(const media_video_t *what, bool full, const uint8_t rgb[3], uint8_t yuv_out[3]) {
    double kr = what->matrix == 709 ? 0.2126 : 0.299, kb = what->matrix == 709 ? 0.0722 : 0.114;
    double y = kr * rgb[0] + (1.0 - kr - kb) * rgb[1] + kb * rgb[2];
    double cb = (rgb[2] - y) / (2.0 * (1.0 - kb)), cr = (rgb[0] - y) / (2.0 * (1.0 - kr));
    yuv_out[0] = (uint8_t)lround(full ? y : 16.0 + y * 219.0 / 255.0);
    yuv_out[1] = (uint8_t)lround(128.0 + cb * (full ? 1.0 : 224.0 / 255.0));
    yuv_out[2] = (uint8_t)lround(128.0 + cr * (full ? 1.0 : 224.0 / 255.0));
}

float media_tone(int i, int rate) { return (float)(0.5 * sin(2.0 * M_PI * 500.0 * i / rate)); }

static void open_filter(const char *name, track_t *track) {
    REQUIRE(av_bsf_list_parse_str(name, &track->filter) == 0);
    track->filter->time_base_in = track->codec->time_base;
    REQUIRE(avcodec_parameters_copy(track->filter->par_in, track->stream->codecpar) >= 0);
    REQUIRE(av_bsf_init(track->filter) == 0);
    REQUIRE(avcodec_parameters_copy(track->stream->codecpar, track->filter->par_out) >= 0);
}

static int open_track(AVFormatContext *format, const char *name, const media_video_t *what,
                      track_t *track) {
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    if (codec == NULL) {
        return MEDIA_CODEC_ABSENT;
    }
    AVCodecContext *c = avcodec_alloc_context3(codec);
    if (codec->type == AVMEDIA_TYPE_VIDEO) {
        c->width = what->width;
        c->height = what->height;
        c->time_base = (AVRational){what->fps_den, what->fps_num};
        c->framerate = (AVRational){what->fps_num, what->fps_den};
        c->pix_fmt = codec->id == AV_CODEC_ID_MJPEG ? AV_PIX_FMT_YUVJ420P : AV_PIX_FMT_YUV420P;
        bool full = codec->id == AV_CODEC_ID_MJPEG || what->full_range;
        c->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
        c->colorspace = what->matrix == 709 ? AVCOL_SPC_BT709 : AVCOL_SPC_UNSPECIFIED;
        c->bit_rate = 400000;
        c->gop_size = 5;
    } else {
        c->sample_rate = what->rate_hz;
        c->sample_fmt = codec->sample_fmts[0];
        c->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        c->time_base = (AVRational){1, what->rate_hz};
        c->bit_rate = 128000;
    }
    if ((format->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    REQUIRE(avcodec_open2(c, codec, NULL) == 0);
    track->codec = c;
    track->stream = avformat_new_stream(format, NULL);
    track->stream->time_base = c->time_base;
    track->stream->avg_frame_rate = c->framerate;
    REQUIRE(avcodec_parameters_from_context(track->stream->codecpar, c) >= 0);
    if (codec->type == AVMEDIA_TYPE_VIDEO) {
        track->swapped = what->swapped;
        open_filter(what->filter != NULL ? what->filter : "null", track);
    } else {
        open_filter("null", track);
    }
    return 0;
}

/* The earlier of two pictures that change their times may not be decoded after it is shown. */
static void swap(const track_t *track, AVPacket *packet) {
    if (track->swapped > 0) {
        packet->dts = packet->pts - 1;
        packet->pts += packet->pts == track->swapped       ? 1
                       : packet->pts == track->swapped + 1 ? -1
                                                           : 0;
    }
}

static void encode(AVFormatContext *format, track_t *track, AVFrame *frame) {
    AVPacket *packet = av_packet_alloc();
    REQUIRE(avcodec_send_frame(track->codec, frame) == 0);
    while (avcodec_receive_packet(track->codec, packet) == 0) {
        swap(track, packet);
        REQUIRE(av_bsf_send_packet(track->filter, packet) == 0);
        REQUIRE(av_bsf_receive_packet(track->filter, packet) == 0);
        av_packet_rescale_ts(packet, track->codec->time_base, track->stream->time_base);
        packet->stream_index = track->stream->index;
        REQUIRE(av_interleaved_write_frame(format, packet) == 0);
    }
    av_packet_free(&packet);
}

static void draw(AVFrame *frame, const media_video_t *what, int i) {
    for (int quarter = 0; quarter < 4; quarter++) {
        uint8_t rgb[3], yuv[3];
        media_colour(what, i, quarter, rgb);
        to_yuv(what, frame->color_range == AVCOL_RANGE_JPEG, rgb, yuv);
        for (int p = 0; p < 3; p++) {
            int width = p == 0 ? what->width : (what->width + 1) / 2;
            int height = p == 0 ? what->height : (what->height + 1) / 2;
            int left = quarter % 2 == 0 ? 0 : width / 2, top = quarter / 2 == 0 ? 0 : height / 2;
            int right = quarter % 2 == 0 ? width / 2 : width;
            int bottom = quarter / 2 == 0 ? height / 2 : height;
            for (int y = top; y < bottom; y++) {
                memset(frame->data[p] + y * frame->linesize[p] + left, yuv[p],
                       (size_t)(right - left));
            }
        }
    }
}

static void draw_grey(AVFrame *frame, const media_video_t *what, int i) {
    bool full = frame->color_range == AVCOL_RANGE_JPEG;
    for (int y = 0; y < what->height; y++) {
        for (int x = 0; x < what->width; x++) {
            double level = what->grey(what->context, i, x, y);
            level = full ? level : 16.0 + level * 219.0 / 255.0;
            frame->data[0][y * frame->linesize[0] + x] = (uint8_t)lround(level);
        }
    }
    for (int p = 1; p < 3; p++) {
        memset(frame->data[p], 128, (size_t)(frame->linesize[p] * ((what->height + 1) / 2)));
    }
}

static void write_pictures(AVFormatContext *format, track_t *track, const media_video_t *what) {
    AVFrame *frame = av_frame_alloc();
    for (int i = 0; i < what->frames; i++) {
        frame->format = track->codec->pix_fmt;
        frame->width = what->width;
        frame->height = what->height;
        frame->color_range = track->codec->color_range;
        REQUIRE(av_frame_get_buffer(frame, 0) == 0);
        (what->grey != NULL ? draw_grey : draw)(frame, what, i);
        frame->pts = what->tick != NULL ? what->tick(what->context, i) : i;
        encode(format, track, frame);
        av_frame_unref(frame);
    }
    av_frame_free(&frame);
    encode(format, track, NULL);
}

static void fill_tone(AVFrame *frame, int first, const media_video_t *what) {
    for (int i = 0; i < frame->nb_samples; i++) {
        float tone = what->sound != NULL ? (float)what->sound(what->context, first + i)
                                         : media_tone(first + i, what->rate_hz);
        if (frame->format == AV_SAMPLE_FMT_FLTP) {
            ((float *)frame->data[0])[i] = ((float *)frame->data[1])[i] = tone;
        } else {
            int16_t *to = (int16_t *)frame->data[0] + 2 * i;
            to[0] = to[1] = (int16_t)lroundf(tone * 32768.0f);
        }
    }
}

static void write_sound(AVFormatContext *format, track_t *track, const media_video_t *what) {
    int size = track->codec->frame_size > 0 ? track->codec->frame_size : 1000;
    for (int first = 0; first < what->samples; first += size) {
        AVFrame *frame = av_frame_alloc();
        frame->format = track->codec->sample_fmt;
        frame->nb_samples = what->samples - first < size ? what->samples - first : size;
        frame->sample_rate = what->rate_hz;
        REQUIRE(av_channel_layout_copy(&frame->ch_layout, &track->codec->ch_layout) == 0);
        REQUIRE(av_frame_get_buffer(frame, 0) == 0);
        fill_tone(frame, first, what);
        frame->pts = first;
        encode(format, track, frame);
        av_frame_free(&frame);
    }
    encode(format, track, NULL);
}

int media_write(const char *path, const media_video_t *what) {
    AVFormatContext *format = NULL;
    AVDictionary *options = NULL;
    track_t pictures = {0}, sound = {0};
    av_log_set_level(AV_LOG_QUIET);
    REQUIRE(avformat_alloc_output_context2(&format, NULL, NULL, path) >= 0);
    int absent = what->frames > 0 ? open_track(format, what->codec, what, &pictures) : 0;
    if (absent == 0 && what->rate_hz > 0) {
        absent = open_track(format, what->audio_codec, what, &sound);
    }
    if (absent == 0) {
        REQUIRE(avio_open(&format->pb, path, AVIO_FLAG_WRITE) >= 0);
        if (what->option != NULL) {
            REQUIRE(av_dict_parse_string(&options, what->option, "=", ":", 0) == 0);
        }
        REQUIRE(avformat_write_header(format, &options) >= 0 && av_dict_count(options) == 0);
        if (what->frames > 0) {
            write_pictures(format, &pictures, what);
        }
        if (what->rate_hz > 0) {
            write_sound(format, &sound, what);
        }
        REQUIRE(av_write_trailer(format) >= 0 && avio_closep(&format->pb) == 0);
    }
    av_dict_free(&options);
    av_bsf_free(&pictures.filter);
    av_bsf_free(&sound.filter);
    avcodec_free_context(&pictures.codec);
    avcodec_free_context(&sound.codec);
    avformat_free_context(format);
    return absent;
}
