/* number.h - one number of a file, whatever type it was stored as. */
#ifndef JMT_NUMBER_H
#define JMT_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct number_type {
    char kind; /* f: float; t: bfloat16; i: signed; u: unsigned; b: 0 is false */
    int bytes; /* f: 2, 4, 8; t: 2; i, u: 1, 2, 4, 8; b: 1 */
    bool big;  /* the highest byte first */
} number_type_t;

/* Whether there is such a type. */
bool number_type_known(number_type_t type);

double number_read(const void *at, number_type_t type);
int64_t number_read_int(const void *at, number_type_t type); /* kinds i, u and b */

#endif
