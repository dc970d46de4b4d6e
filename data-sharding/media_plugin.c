/* media_tracks.h and media_write.h by jmt_media.so, which is loaded when something is asked of it,
 * and stays. Programs that have the readers themselves do not link this file. */
#include "data-sharding/media_plugin.h"

#include <dlfcn.h>
#include <string.h>

#include "kernels/base/plugin_file.h"

static status_t load(const media_plugin_t **plugin_out) {
    char path[PLUGIN_PATH_BYTES];
    if (!plugin_file_find(MEDIA_PLUGIN_FILE, path)) {
        return status_fail(STATUS_UNAVAILABLE,
                           "raw media cannot be read: there is no " MEDIA_PLUGIN_FILE
                           " beside the program; copy it there from the build, or install again");
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
    return load(&plugin);
}

status_t media_video(const media_rules_t *rules, const char *label, const archive_member_t *member,
                     double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                     media_pictures_t *pictures_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->video(rules, label, member, rate_hz, boxes, notes, pictures_out);
}

status_t media_images(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                      const face_boxes_t *boxes, int64_t least, notes_t *notes,
                      media_pictures_t *pictures_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->images(rules, archive, prefix, boxes, least, notes, pictures_out);
}

status_t media_sound(const media_ears_t *ears, track_kind_t kind, const char *label,
                     const archive_member_t *member, media_sound_t *sound_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->sound(ears, kind, label, member, sound_out);
}

status_t media_video_length(const char *label, const archive_member_t *member, double *rate_hz_out,
                            int64_t *frames_out) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->video_length(label, member, rate_hz_out, frames_out);
}

status_t media_write_jpeg(const char *path, const uint8_t *rgb, int side) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->write_jpeg(path, rgb, side);
}

status_t media_write_video(const char *path, const written_video_t *video) {
    const media_plugin_t *plugin = NULL;
    TRY(load(&plugin));
    return plugin->write_video(path, video);
}
