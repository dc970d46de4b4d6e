/* kernels/cuda.h by jmt_cuda.so, which is loaded when something is asked of it, and stays. */
#include <dlfcn.h>
#include <string.h>

#include "kernels/base/plugin_file.h"
#include "kernels/plugin.h"

/* what: "device" | "backend", which cannot be had. */
static status_t load(const char *what, const cuda_plugin_t **plugin_out) {
    char path[PLUGIN_PATH_BYTES];
    if (!plugin_file_find(PLUGIN_FILE, path)) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s cuda is not in this build (no " PLUGIN_FILE
                           " beside the program); build with -DGPU=cuda, or use %s: cpu",
                           what, what);
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = object == NULL ? dlerror() : "";
    if (strstr(why, "undefined symbol") != NULL) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s cannot be loaded: %s; build both together, with the libraries of "
                           "NVIDIA's that are here, or use %s: cpu",
                           path, why, what);
    }
    if (object == NULL) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s cannot be loaded: %s; install NVIDIA's libraries (launch/setup "
                           "--gpu) or name their folder in LD_LIBRARY_PATH, or use %s: cpu",
                           path, why, what);
    }
    const cuda_plugin_t *plugin = dlsym(object, PLUGIN_SYMBOL);
    if (plugin == NULL || strcmp(plugin->abi, JMT_PLUGIN_ABI) != 0) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s is of another build of jmt; build both together, or use %s: cpu",
                           path, what);
    }
    *plugin_out = plugin;
    return STATUS_OK;
}

bool cuda_is_built(void) {
    char path[PLUGIN_PATH_BYTES];
    return plugin_file_find(PLUGIN_FILE, path);
}

status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) {
    const cuda_plugin_t *plugin = NULL;
    *device_out = NULL;
    TRY(load("device", &plugin));
    return plugin->device_open(local_index, local_count, device_out);
}

status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) {
    const cuda_plugin_t *plugin = NULL;
    *kernels_out = NULL;
    TRY(load("backend", &plugin));
    return plugin->kernels(dtype, kernels_out);
}

const char *cuda_library_version(void) {
    const cuda_plugin_t *plugin = NULL;
    return load("backend", &plugin) == STATUS_OK ? plugin->library_version() : "none";
}

int cuda_device_count(const char **why_out) {
    const cuda_plugin_t *plugin = NULL;
    if (load("device", &plugin) != STATUS_OK) {
        *why_out = status_text();
        return 0;
    }
    return plugin->device_count(why_out);
}

const struct reduce_way *cuda_reduce_way(void) {
    const cuda_plugin_t *plugin = NULL;
    return load("device", &plugin) == STATUS_OK ? plugin->reduce_way : NULL;
}
