/* pickle.h - Python's pickles of plain data, protocols 2 to 5, read without running anything.
 *
 * None, bool, int (64 bits), float, bytes, text, list, tuple, dict (OrderedDict too), numpy arrays
 * and scalars, PyTorch tensors and parameters. A pickle is a program that may call any function by
 * name; this reader knows the few names that such data needs (pickle_object.c) and refuses every
 * other one, named in its error. Values that hold themselves, nest deeper than PICKLE_DEPTH_MAX or
 * would be more than some millions are refused too, so whoever walks them may recurse. */
#ifndef JMT_PICKLE_H
#define JMT_PICKLE_H

#include <stddef.h>

#include "data-sharding/number.h"
#include "kernels/base/status.h"

enum { PICKLE_DEPTH_MAX = 64, PICKLE_RANK_MAX = 8 };

typedef enum {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_BYTES,
    PICKLE_TEXT,
    PICKLE_LIST,
    PICKLE_TUPLE,
    PICKLE_DICT,
    PICKLE_ARRAY,
} pickle_kind_t;

/* Texts are not ended by NUL. */
typedef struct pickle_text {
    const char *data;
    int64_t bytes;
} pickle_text_t;

/* A numpy array or a PyTorch tensor. Element [i, j, ...] is number offset + i strides[0] + j
 * strides[1] + ... of its data; all of them lie within, and they are no more than it has. */
typedef struct pickle_array {
    number_type_t type; /* of numpy also S: text of `bytes` bytes, U: of bytes / 4 UCS-4 letters */
    int rank;
    int64_t dims[PICKLE_RANK_MAX], strides[PICKLE_RANK_MAX];
    int64_t offset, count;
    const char *data;      /* NULL: a tensor, whose numbers lie outside of the pickle: */
    pickle_text_t storage; /* under this key, */
    int64_t numbers;       /* so many of them */
} pickle_array_t;

typedef struct pickle_value pickle_value_t;
struct pickle_value {
    pickle_kind_t kind;
    bool closed; /* part of another value: nothing may be added any more */
    bool plain;  /* nothing in it is private to the reader */
    int depth;
    int64_t weight; /* values in it, each as often as it is met */
    union {
        bool truth;
        int64_t integer;
        double real;
        pickle_text_t text; /* and PICKLE_BYTES */
        struct {
            pickle_value_t **items; /* of a dict: key, value, key, value, ... */
            int64_t count, room;
        } list; /* and tuple, and dict */
        pickle_array_t *array;
    } u;
};

typedef struct pickle pickle_t;

/* Reads one pickle from the front of `data`, which must outlive it. name: what errors call it.
 * Everything that is not plain data is STATUS_INPUT. */
status_t pickle_read(const char *name, const char *data, size_t bytes,
                     pickle_t **pickle_out) MUST_CHECK;
void pickle_close(pickle_t *pickle); /* NULL allowed */
const pickle_value_t *pickle_root(const pickle_t *pickle);
size_t pickle_bytes(const pickle_t *pickle); /* that it takes of the data */

/* What is behind a text key of a dict; NULL: not there, or no dict. */
const pickle_value_t *pickle_find(const pickle_value_t *dict, const char *key);
bool pickle_text_is(pickle_text_t text, const char *word);
/* What a pickle of PyTorch says of the storage with that key: type and numbers; NULL: nothing. */
const pickle_array_t *pickle_storage(const pickle_t *pickle, pickle_text_t key);
/* Where in its data the element is that comes `index`th in row-major order. */
int64_t pickle_array_place(const pickle_array_t *array, int64_t index);
/* All elements, row-major, out of data that has numbers of that type. */
void pickle_array_read(const pickle_array_t *array, const char *data, number_type_t type,
                       float *out);

#endif
