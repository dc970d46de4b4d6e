/* The one symbol of jmt_media.so, and of jmt_pictures.so (JMT_MEDIA_PICTURES). */
#include "data-sharding/media_plugin.h"

extern const media_plugin_t jmt_media_plugin;
const media_plugin_t jmt_media_plugin = {
    .abi = JMT_MEDIA_ABI,
    .images = media_images,
#ifndef JMT_MEDIA_PICTURES
    .video = media_video,
    .sound = media_sound,
    .video_length = media_video_length,
    .write_jpeg = media_write_jpeg,
    .write_video = media_write_video,
    .scale = picture_scale,
    .scale_close = picture_scale_close,
#endif
};
