/* matrix_pickle.h - one array of a pickle or of a file of PyTorch as a table; private to
 * matrix_file.h, which says what `dataset` names. */
#ifndef JMT_MATRIX_PICKLE_H
#define JMT_MATRIX_PICKLE_H

#include "data-sharding/matrix_file.h"

status_t matrix_read_pickle(const char *path, const char *dataset, matrix_t *m) MUST_CHECK;
status_t matrix_read_torch(const char *path, const char *dataset, matrix_t *m) MUST_CHECK;

#endif
