/* pickle_internal.h - the reader's own values, and what its parts ask of each other; private
 * to data-sharding/. */
#ifndef JMT_PICKLE_INTERNAL_H
#define JMT_PICKLE_INTERNAL_H

#include "data-sharding/pickle.h"

/* Kinds beside those of pickle_kind_t: met only on the way to an array or a tensor. */
enum {
    PICKLE_GLOBAL = PICKLE_ARRAY + 1, /* u.integer: which name */
    PICKLE_DTYPE,                     /* u.array->type */
    PICKLE_UNBUILT,                   /* an array whose content is still to come */
    PICKLE_STORAGE,                   /* u.array: type, storage, numbers */
};

typedef struct pickle_block pickle_block_t;
struct pickle {
    const char *name, *data;
    size_t bytes, at;
    pickle_block_t *blocks;
    size_t taken_bytes;
    int64_t values;
    pickle_value_t **stack, **memo;
    int64_t stack_count, memo_count, memo_room;
    int64_t *marks; /* heights of the stack */
    int64_t mark_count;
    const pickle_array_t **storages; /* one for each key */
    int64_t storage_count;
    pickle_value_t *root;
};

enum { PICKLE_VALUES_MAX = 1 << 22 };

/* ---- pickle.c ---- */

/* "NAME: the pickle is damaged at byte N: why; save it again" */
status_t pickle_damaged(const pickle_t *pickle, const char *why) MUST_CHECK;
status_t pickle_refused(const pickle_t *pickle, const char *why) MUST_CHECK; /* not plain data */
/* Zeroed, freed with the pickle. NULL: it asks for too much. */
void *pickle_take(pickle_t *pickle, int64_t count, size_t element_bytes);
status_t pickle_make(pickle_t *pickle, int kind, pickle_value_t **value_out) MUST_CHECK;
/* Puts `item` behind the others of a list, tuple or dict. */
status_t pickle_put(pickle_t *pickle, pickle_value_t *list, pickle_value_t *item) MUST_CHECK;

/* ---- pickle_machine.c ---- */

/* From here to the end of the pickle: root. */
status_t pickle_run(pickle_t *pickle) MUST_CHECK;

/* ---- pickle_object.c ---- */

/* A name of the list, else STATUS_INPUT that says it. */
status_t pickle_global(pickle_t *pickle, pickle_text_t module, pickle_text_t name,
                       pickle_value_t **value_out) MUST_CHECK;
/* What calling `callee` with the tuple `arguments` gives. */
status_t pickle_call(pickle_t *pickle, const pickle_value_t *callee,
                     const pickle_value_t *arguments, pickle_value_t **value_out) MUST_CHECK;
/* Fills `value` with its state. */
status_t pickle_build(pickle_t *pickle, pickle_value_t *value,
                      const pickle_value_t *state) MUST_CHECK;
/* What PyTorch keeps outside: ("storage", type, key, device, count). */
status_t pickle_outside(pickle_t *pickle, const pickle_value_t *id,
                        pickle_value_t **value_out) MUST_CHECK;

/* Item i of a tuple if it is of that kind, else NULL. */
pickle_value_t *pickle_item(const pickle_value_t *tuple, int64_t i, int kind);
/* A tuple of sizes that are not negative. */
bool pickle_sizes(const pickle_value_t *tuple, int *rank_out, int64_t sizes[PICKLE_RANK_MAX]);
/* The elements that the dims make, if none lies outside of `numbers` and they are no more. */
bool pickle_count(pickle_array_t *array);
/* A value of that kind with an empty u.array. */
status_t pickle_make_array(pickle_t *pickle, int kind, pickle_value_t **value_out) MUST_CHECK;

/* ---- pickle_numpy.c: what the names of numpy make of their arguments, or of a state ---- */

status_t pickle_make_dtype(pickle_t *pickle, const pickle_value_t *arguments,
                           pickle_value_t **value_out) MUST_CHECK;
status_t pickle_build_dtype(pickle_t *pickle, pickle_value_t *value,
                            const pickle_value_t *state) MUST_CHECK;
status_t pickle_build_array(pickle_t *pickle, pickle_value_t *value,
                            const pickle_value_t *state) MUST_CHECK;
status_t pickle_make_from_buffer(pickle_t *pickle, const pickle_value_t *arguments,
                                 pickle_value_t **value_out) MUST_CHECK;
status_t pickle_make_scalar(pickle_t *pickle, const pickle_value_t *arguments,
                            pickle_value_t **value_out) MUST_CHECK;

#endif
