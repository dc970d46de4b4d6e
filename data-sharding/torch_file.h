/* torch_file.h - what torch.save wrote: the zip format (since PyTorch 1.6) and the stream of
 * pickles before it. Read without PyTorch, and nothing in it is run (pickle.h). */
#ifndef JMT_TORCH_FILE_H
#define JMT_TORCH_FILE_H

#include "data-sharding/pickle.h"

typedef struct torch_file torch_file_t;

/* STATUS_INPUT: neither of the two, damaged, or more than plain data. */
status_t torch_open(const char *path, torch_file_t **file_out) MUST_CHECK;
void torch_close(torch_file_t *file); /* NULL allowed */

const pickle_value_t *torch_root(const torch_file_t *file);

/* All elements of a tensor (or numpy array) of the file, row-major. */
status_t torch_read(torch_file_t *file, const pickle_array_t *array, float *out) MUST_CHECK;

#endif
