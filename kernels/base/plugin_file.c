#include "kernels/base/plugin_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool plugin_file_find(const char *name, char path_out[PLUGIN_PATH_BYTES]) {
    static const char *const places[] = {"", "../lib/jmt/"};
    char self[PLUGIN_PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; i < sizeof places / sizeof places[0] && slash != NULL; i++) {
        int written = snprintf(path_out, PLUGIN_PATH_BYTES, "%.*s%s%s", (int)(slash + 1 - self),
                               self, places[i], name);
        if (written < PLUGIN_PATH_BYTES && access(path_out, R_OK) == 0) {
            return true;
        }
    }
    return false;
}
