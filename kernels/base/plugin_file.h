/* plugin_file.h - where shared objects lie that the program loads when it needs them. */
#ifndef JMT_KERNELS_BASE_PLUGIN_FILE_H
#define JMT_KERNELS_BASE_PLUGIN_FILE_H

#include <stdbool.h>

enum { PLUGIN_PATH_BYTES = 4096 };

/* Beside the program, or where an installed program has it; false: in neither. */
bool plugin_file_find(const char *name, char path_out[PLUGIN_PATH_BYTES]);

#endif
