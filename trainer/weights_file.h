/* weights_file.h - the tensors of a file by name, whatever it is: a checkpoint of ours (or a run,
 * whose last one is meant), safetensors, or what torch.save wrote, where the tensors may lie one
 * level down, under state_dict or the like. */
#ifndef JMT_WEIGHTS_FILE_H
#define JMT_WEIGHTS_FILE_H

#include <stdbool.h>

#include "kernels/base/file.h"
#include "trainer/safetensors.h"

typedef struct weights_file weights_file_t;

/* STATUS_INPUT: there is none, no tensor in it, or it is damaged. */
status_t weights_open(const char *path, weights_file_t **file_out) MUST_CHECK;
void weights_close(weights_file_t *file); /* NULL allowed */

typedef struct weights_info {
    const char *name;
    int rank;
    const int64_t *dims;
    int64_t count; /* elements */
} weights_info_t;

int weights_count(const weights_file_t *file);
weights_info_t weights_info(const weights_file_t *file, int index);
int weights_find(const weights_file_t *file, const char *name); /* -1: none */

/* All elements, row-major. */
status_t weights_read(weights_file_t *file, int index, float *out) MUST_CHECK;

/* What was found, for people: "checkpoint of step 12", "PyTorch file, under state_dict". */
const char *weights_format(const weights_file_t *file);
/* Whether this program wrote it: then it holds a whole model and nothing else. */
bool weights_are_ours(const weights_file_t *file);
/* trained_on.h of its training; "": it does not say. */
const char *weights_trained_on(const weights_file_t *file);
/* SHA-256 of the file; of a checkpoint that of its manifest, which covers the others. */
const char *weights_sha256(const weights_file_t *file);

#endif
