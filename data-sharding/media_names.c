#include <string.h>
#include <strings.h>

#include "data-sharding/media_tracks.h"

/* ends: " .a .b " in lower case. */
static bool ends_in(const char *name, const char *ends) {
    const char *dot = strrchr(name, '.');
    size_t bytes = dot == NULL ? 0 : strlen(dot);
    for (const char *at = ends; dot != NULL && (at = strchr(at, '.')) != NULL; at++) {
        if (strncasecmp(at, dot, bytes) == 0 && at[bytes] == ' ') {
            return true;
        }
    }
    return false;
}

bool media_is_video(const char *name) { return ends_in(name, " .mp4 .mov .avi .mkv .webm .m4v "); }

bool media_is_sound(const char *name) { return ends_in(name, " .wav .m4a .flac "); }

bool media_is_wav(const char *name) { return ends_in(name, " .wav "); }

bool media_is_picture(const char *name) { return ends_in(name, " .jpg .jpeg .png "); }

bool media_is_archive(const char *name) { return ends_in(name, " .zip .tar "); }
