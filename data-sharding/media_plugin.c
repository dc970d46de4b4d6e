/* media_tracks.h, media_write.h and picture_scale.h by jmt_media.so and jmt_pictures.so, which are
 * loaded when something is asked of them, and stay. Programs that have the readers themselves do
 * not link this file. */
#include "data-sharding/media_plugin.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/base/plugin_file.h"

static status_t load(const char *file, const media_plugin_t **plugin_out) {
    char path[PLUGIN_PATH_BYTES];
    if (!plugin_file_find(file, path)) {
        return status_fail(STATUS_UNAVAILABLE,
                           "raw media cannot be read: there is no %s beside the program; copy it "
                           "there from the build, or install again",
                           file);
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = object == NULL ? dlerror() : "";
    if (strstr(why, "undefined symbol") != NULL) {
        return status_fail(STATUS_UNAVAILABLE, "%s cannot be loaded: %s; build both together", path,
                           why);
    }
    if (object == NULL) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s cannot be loaded: %s; install its libraries (launch/setup --media)",
                           path, why);
    }
    const media_plugin_t *plugin = dlsym(object, MEDIA_PLUGIN_SYMBOL);
    if (plugin == NULL || strcmp(plugin->abi, JMT_MEDIA_ABI) != 0) {
        return status_fail(STATUS_UNAVAILABLE, "%s is of another build of jmt; build both together",
                           path);
    }
    *plugin_out = plugin;
    return STATUS_OK;
}

status_t media_available(void) {
    const media_plugin_t *plugin = NULL;
    return load(MEDIA_PLUGIN_FILE, &plugin);
}

status_t media_pictures_available(void) {
    const media_plugin_t *plugin = NULL;
    return load(MEDIA_PLUGIN_PICTURES, &plugin);
}

status_t media_video(const media_rules_t *rules, const char *label, const archive_member_t *member,
                     double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                     media_pictures_t *pictures_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_FILE, &plugin));
    return plugin->video(rules, label, member, rate_hz, boxes, notes, pictures_out);
}

status_t media_images(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                      const face_boxes_t *boxes, int64_t least, notes_t *notes,
                      media_pictures_t *pictures_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_PICTURES, &plugin));
    return plugin->images(rules, archive, prefix, boxes, least, notes, pictures_out);
}

status_t media_sound(const media_ears_t *ears, track_kind_t kind, const char *label,
                     const archive_member_t *member, media_sound_t *sound_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_FILE, &plugin));
    return plugin->sound(ears, kind, label, member, sound_out);
}

status_t media_video_length(const char *label, const archive_member_t *member, double *rate_hz_out,
                            int64_t *frames_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_FILE, &plugin));
    return plugin->video_length(label, member, rate_hz_out, frames_out);
}

status_t media_write_jpeg(const char *path, const uint8_t *rgb, int side) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_FILE, &plugin));
    return plugin->write_jpeg(path, rgb, side);
}

status_t media_write_video(const char *path, const written_video_t *video) {
    const media_plugin_t *plugin = NULL;
    TRY(load(MEDIA_PLUGIN_FILE, &plugin));
    return plugin->write_video(path, video);
}

status_t picture_scale(picture_scale_t *scale, const uint8_t *from, int side, int stride,
                       uint8_t *to, int to_side, int to_stride) {
    static _Atomic(const media_plugin_t *) known; /* it is asked for each colour of each picture */
    const media_plugin_t *plugin = atomic_load(&known);
    if (plugin == NULL) {
        TRY(load(MEDIA_PLUGIN_FILE, &plugin));
        atomic_store(&known, plugin);
    }
    return plugin->scale(scale, from, side, stride, to, to_side, to_stride);
}

void picture_scale_close(picture_scale_t *scale) {
    const media_plugin_t *plugin = NULL;
    if (scale->context != NULL && load(MEDIA_PLUGIN_FILE, &plugin) == STATUS_OK) {
        plugin->scale_close(scale);
    }
}
