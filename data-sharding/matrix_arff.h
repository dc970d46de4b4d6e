/* matrix_arff.h - a table of numbers as ARFF, which openSMILE, the AVEC challenges and Weka write.
 *
 * Attributes of texts, of lists of words and of dates are no numbers and are left out, and so are
 * class (the place of a label) and, where they count rows, frameIndex and frame. frameTime, time or
 * timestamp tells the rate and the begin: its times must be even. dataset names one attribute to be
 * read alone, whichever it is; "": all others. ? is a missing value. */
#ifndef JMT_MATRIX_ARFF_H
#define JMT_MATRIX_ARFF_H

#include "data-sharding/matrix_file.h"

status_t matrix_read_arff(const char *path, const char *dataset, const matrix_rules_t *rules,
                          matrix_t *matrix_out) MUST_CHECK;

#endif
