/* matrix_csd.h - a computational sequence of the CMU-MultimodalSDK: an HDF5 file with ROOT/data/ID/
 * features [rows, columns] and intervals [rows, 2], the seconds that each row is of.
 *
 * dataset is ID, or ROOT/data/ID where the file has several roots. Step i becomes the row whose
 * interval holds i / rules.rate_hz; of several the one that begins last; none: not valid. */
#ifndef JMT_MATRIX_CSD_H
#define JMT_MATRIX_CSD_H

#include "data-sharding/matrix_file.h"

status_t matrix_read_csd(const char *path, const char *dataset, const matrix_rules_t *rules,
                         matrix_t *matrix_out) MUST_CHECK;

#endif
