#include "data-sharding/video_file.h"

#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "kernels/base/bytes.h"

enum { IO_BYTES = 1 << 16 };

/* Formats that are one file in themselves, no lists of others, and state their lengths. */
static const char formats[] = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,wav,flac";

status_t video_file_refuse(const video_file_t *file, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %s; get it again, or convert it (ffmpeg -i IN OUT.mp4)",
                       file->label, why);
}

/* What the library said; an error of reading the member goes before it. */
static status_t library_failed(const video_file_t *file, const char *what, int error) {
    char why[AV_ERROR_MAX_STRING_SIZE] = {0}, *text;
    if (file->read_status != STATUS_OK) {
        return file->read_status;
    }
    av_strerror(error, why, sizeof why);
    text = text_format("%s (%s)", what, why);
    status_t status = video_file_refuse(file, text);
    free(text);
    return status;
}

/* --- the member as the library reads it ----------------------------------------------------- */

static int read_some(void *context, uint8_t *out, int room) {
    video_file_t *file = context;
    int64_t bytes = min_i64(room, file->bytes - file->at);
    if (bytes <= 0) {
        return AVERROR_EOF;
    }
    status_t status = archive_member_read(file->member, file->at, bytes, out);
    if (status != STATUS_OK) {
        file->read_status = status;
        return AVERROR(EIO);
    }
    file->at += bytes;
    return (int)bytes;
}

static int64_t seek_to(void *context, int64_t offset, int whence) {
    video_file_t *file = context;
    if (whence == AVSEEK_SIZE) {
        return file->bytes;
    }
    whence &= ~AVSEEK_FORCE;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->at : file->bytes;
    if (offset > INT64_MAX - base || base + offset < 0) {
        return AVERROR(EINVAL);
    }
    file->at = base + offset;
    return file->at;
}

static status_t open_format(video_file_t *file) {
    uint8_t *buffer = av_malloc(IO_BYTES);
    file->format = avformat_alloc_context();
    REQUIRE(buffer != NULL && file->format != NULL);
    file->io = avio_alloc_context(buffer, IO_BYTES, 0, file, read_some, NULL, seek_to);
    REQUIRE(file->io != NULL);
    file->format->pb = file->io;
    file->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    AVDictionary *options = NULL;
    av_dict_set(&options, "format_whitelist", formats, 0);
    int error = avformat_open_input(&file->format, NULL, NULL, &options);
    av_dict_free(&options);
    if (error < 0) {
        return library_failed(file,
                              "no video or sound of a kind that states its length (.mp4, .mov, "
                              ".m4a, .avi, .mkv, .webm, .wav, .flac), or cut off",
                              error);
    }
    TRY(video_file_check_length(file));
    error = avformat_find_stream_info(file->format, NULL);
    return error < 0 ? library_failed(file, "its streams cannot be read", error) : STATUS_OK;
}

static status_t open_codec(video_file_t *file, enum AVMediaType kind) {
    const AVCodec *codec = NULL;
    int index = av_find_best_stream(file->format, kind, -1, -1, &codec, 0);
    if (index == AVERROR_DECODER_NOT_FOUND) {
        return library_failed(file, "no decoder for its coding", index);
    }
    if (index < 0 ||
        (file->format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
        return status_fail(STATUS_INPUT, "%s: has no %s; leave it out", file->label,
                           kind == AVMEDIA_TYPE_VIDEO ? "pictures" : "sound");
    }
    file->stream = file->format->streams[index];
    for (unsigned i = 0; i < file->format->nb_streams; i++) {
        file->format->streams[i]->discard = (int)i == index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    file->codec = avcodec_alloc_context3(codec);
    file->packet = av_packet_alloc();
    file->frame = av_frame_alloc();
    REQUIRE(file->codec != NULL && file->packet != NULL && file->frame != NULL);
    int error = avcodec_parameters_to_context(file->codec, file->stream->codecpar);
    file->codec->pkt_timebase = file->stream->time_base;
    file->codec->thread_count = 1;
    file->codec->max_pixels = IMAGE_PIXELS_MAX;
    file->codec->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
    file->codec->error_concealment = 0;
    if (error >= 0) {
        error = avcodec_open2(file->codec, codec, NULL);
    }
    return error < 0 ? library_failed(file, "its coding cannot be read", error) : STATUS_OK;
}

status_t video_file_open(const char *label, const archive_member_t *member, enum AVMediaType kind,
                         video_file_t *file) {
    av_log_set_level(AV_LOG_QUIET); /* errors come as statuses */
    *file = (video_file_t){
        .label = text_copy(label), .member = member, .bytes = archive_member_bytes(member)};
    TRY(open_format(file));
    return open_codec(file, kind);
}

void video_file_close(video_file_t *file) {
    av_frame_free(&file->frame);
    av_packet_free(&file->packet);
    avcodec_free_context(&file->codec);
    avformat_close_input(&file->format);
    if (file->io != NULL) {
        av_freep(&file->io->buffer);
        avio_context_free(&file->io);
    }
    free(file->label);
}

/* --- frames --------------------------------------------------------------------------------- */

static bool is_indexed(const video_file_t *file) {
    return strncmp(file->format->iformat->name, "mov,", 4) == 0;
}

/* Pictures that the file says it has; 0: it does not say. A .mov's index is what it gives, after
 * its edits; others count in a header. */
static int64_t packets_stated(const video_file_t *file) {
    if (file->codec->codec_type != AVMEDIA_TYPE_VIDEO) {
        return 0; /* there a .avi counts samples */
    }
    return is_indexed(file) ? avformat_index_get_entries_count(file->stream)
                            : file->stream->nb_frames;
}

/* Whether packets up to the end that a .flac states are there. */
static bool sound_is_whole(const video_file_t *file) {
    bool flac = strcmp(file->format->iformat->name, "flac") == 0;
    return !flac || (file->stream->duration > 0 && file->packets_end >= file->stream->duration);
}

static double seconds(const video_file_t *file, int64_t stamp) {
    return (double)stamp * av_q2d(file->stream->time_base);
}

static status_t at_end(video_file_t *file) {
    if (file->read_status != STATUS_OK) {
        return file->read_status;
    }
    if (file->packets < packets_stated(file)) {
        char *why = text_format("cut off: %lld of %lld pictures are there",
                                (long long)file->packets, (long long)packets_stated(file));
        status_t status = video_file_refuse(file, why);
        free(why);
        return status;
    }
    if (!sound_is_whole(file)) {
        return video_file_refuse(file, "cut off, or it does not state its length");
    }
    int error = avcodec_send_packet(file->codec, NULL);
    file->drained = true;
    return error < 0 ? library_failed(file, "damaged at its end", error) : STATUS_OK;
}

/* Gives the decoder one more packet of the stream, or the end. */
static status_t feed(video_file_t *file) {
    int error = av_read_frame(file->format, file->packet);
    if (error == AVERROR_EOF) {
        return at_end(file);
    }
    if (error < 0) {
        return library_failed(file, "cut off or damaged", error);
    }
    status_t status = STATUS_OK;
    if (file->packet->stream_index == file->stream->index) {
        file->packets++;
        file->packets_end = file->packet->pts + file->packet->duration;
        if ((file->packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
            status = video_file_refuse(file, "cut off or damaged");
        } else {
            error = avcodec_send_packet(file->codec, file->packet);
            status = error < 0 ? library_failed(file, "damaged", error) : STATUS_OK;
        }
    }
    av_packet_unref(file->packet);
    return status;
}

status_t video_file_next(video_file_t *file, double *time_s_out, bool *end_out) {
    for (;;) {
        int error = avcodec_receive_frame(file->codec, file->frame);
        if (error == AVERROR_EOF) {
            *end_out = true;
            return STATUS_OK;
        }
        if (error == AVERROR(EAGAIN)) {
            REQUIRE(!file->drained);
            TRY(feed(file));
            continue;
        }
        if (error < 0) {
            return library_failed(file, "damaged", error);
        }
        int64_t stamp = file->frame->best_effort_timestamp;
        if (file->frame->decode_error_flags != 0 ||
            (file->frame->flags & AV_FRAME_FLAG_CORRUPT) != 0) {
            return video_file_refuse(file, "damaged");
        }
        if (stamp == AV_NOPTS_VALUE) {
            return video_file_refuse(file, "has no time stamps");
        }
        *time_s_out = seconds(file, stamp);
        *end_out = false;
        return STATUS_OK;
    }
}

/* What a header says may be wrong, and is not what is there: only an index is taken at its word. */
status_t video_file_count(video_file_t *file, int64_t *count_out) {
    int error = 0;
    *count_out = is_indexed(file) ? packets_stated(file) : 0;
    while (*count_out <= 0 && (error = av_read_frame(file->format, file->packet)) >= 0) {
        file->packets += file->packet->stream_index == file->stream->index;
        av_packet_unref(file->packet);
    }
    *count_out = *count_out > 0 ? *count_out : file->packets;
    TRY(file->read_status);
    return error < 0 && error != AVERROR_EOF ? library_failed(file, "cut off or damaged", error)
                                             : STATUS_OK;
}
