/* The one symbol of jmt_media.so. */
#include "data-sharding/media_plugin.h"

extern const media_plugin_t jmt_media_plugin;
const media_plugin_t jmt_media_plugin = {
    .abi = JMT_MEDIA_ABI,
    .video = media_video,
    .images = media_images,
    .sound = media_sound,
    .video_length = media_video_length,
    .write_jpeg = media_write_jpeg,
    .write_video = media_write_video,
};
