/* The machine: a stack, a memo, and the opcodes that data needs, as Python's pickletools lists
 * them. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/pickle_internal.h"
#include "kernels/base/bytes.h"

enum { PROTOCOL_MAX = 5 };

/* --- bytes ----------------------------------------------------------------------------------- */

static status_t take_bytes(pickle_t *pickle, uint64_t count, const char **data_out) {
    if (count > pickle->bytes - pickle->at) {
        return pickle_damaged(pickle, "it is cut off");
    }
    *data_out = pickle->data + pickle->at;
    pickle->at += (size_t)count;
    return STATUS_OK;
}

/* A little-endian number of `size` bytes. */
static status_t take_number(pickle_t *pickle, int size, uint64_t *number_out) {
    const char *data = NULL;
    TRY(take_bytes(pickle, (uint64_t)size, &data));
    *number_out = (uint64_t)number_read_int(data, (number_type_t){'u', size, false});
    return STATUS_OK;
}

/* Up to the next end of line, which is left out. */
static status_t take_line(pickle_t *pickle, pickle_text_t *line_out) {
    const char *begin = pickle->data + pickle->at;
    const char *end = memchr(begin, '\n', pickle->bytes - pickle->at);
    if (end == NULL) {
        return pickle_damaged(pickle, "it is cut off");
    }
    *line_out = (pickle_text_t){begin, end - begin};
    pickle->at += (size_t)(end - begin) + 1;
    return STATUS_OK;
}

/* --- stack and memo -------------------------------------------------------------------------- */

static status_t push(pickle_t *pickle, pickle_value_t *value) {
    if (pickle->stack_count >= PICKLE_VALUES_MAX) {
        return pickle_refused(pickle, "more values than are read");
    }
    pickle->stack = array_grow(pickle->stack, pickle->stack_count, sizeof *pickle->stack);
    pickle->stack[pickle->stack_count++] = value;
    return STATUS_OK;
}

/* How many values stand above the last mark. */
static int64_t above_mark(const pickle_t *pickle) {
    int64_t base = pickle->mark_count > 0 ? pickle->marks[pickle->mark_count - 1] : 0;
    return pickle->stack_count - base;
}

static status_t pop(pickle_t *pickle, pickle_value_t **value_out) {
    if (above_mark(pickle) < 1) {
        return pickle_damaged(pickle, "its stack is empty");
    }
    *value_out = pickle->stack[--pickle->stack_count];
    return STATUS_OK;
}

static status_t top(const pickle_t *pickle, pickle_value_t **value_out) {
    if (above_mark(pickle) < 1) {
        return pickle_damaged(pickle, "its stack is empty");
    }
    *value_out = pickle->stack[pickle->stack_count - 1];
    return STATUS_OK;
}

static status_t push_mark(pickle_t *pickle) {
    if (pickle->mark_count >= PICKLE_VALUES_MAX) {
        return pickle_refused(pickle, "more values than are read");
    }
    pickle->marks = array_grow(pickle->marks, pickle->mark_count, sizeof *pickle->marks);
    pickle->marks[pickle->mark_count++] = pickle->stack_count;
    return STATUS_OK;
}

/* Takes the values above the mark off the stack: they stay in place until the next push. */
static status_t pop_mark(pickle_t *pickle, pickle_value_t ***items_out, int64_t *count_out) {
    if (pickle->mark_count == 0) {
        return pickle_damaged(pickle, "a mark is missing");
    }
    *count_out = above_mark(pickle);
    pickle->stack_count -= *count_out;
    pickle->mark_count--;
    *items_out = pickle->stack + pickle->stack_count;
    return STATUS_OK;
}

static status_t remember(pickle_t *pickle, uint64_t index) {
    pickle_value_t *value = NULL;
    TRY(top(pickle, &value));
    if (index >= PICKLE_VALUES_MAX) {
        return pickle_damaged(pickle, "a number of its memo is too large");
    }
    if ((int64_t)index >= pickle->memo_room) {
        int64_t room = max_i64((int64_t)index + 1, 2 * pickle->memo_room);
        pickle_value_t **memo = alloc_zero(room, sizeof *memo);
        if (pickle->memo_room > 0) {
            memcpy(memo, pickle->memo, (size_t)pickle->memo_room * sizeof *memo);
        }
        free(pickle->memo);
        pickle->memo = memo;
        pickle->memo_room = room;
    }
    pickle->memo_count += pickle->memo[index] == NULL;
    pickle->memo[index] = value;
    return STATUS_OK;
}

static status_t recall(pickle_t *pickle, uint64_t index) {
    if (index >= (uint64_t)pickle->memo_room || pickle->memo[index] == NULL) {
        return pickle_damaged(pickle, "its memo has nothing under a number that is asked for");
    }
    return push(pickle, pickle->memo[index]);
}

/* --- values ---------------------------------------------------------------------------------- */

static status_t push_new(pickle_t *pickle, int kind, pickle_value_t **value_out) {
    TRY(pickle_make(pickle, kind, value_out));
    return push(pickle, *value_out);
}

static status_t push_bool(pickle_t *pickle, bool truth) {
    pickle_value_t *value = NULL;
    TRY(push_new(pickle, PICKLE_BOOL, &value));
    value->u.truth = truth;
    return STATUS_OK;
}

/* Two's complement of `size` bytes, or unsigned. */
static status_t push_int(pickle_t *pickle, uint64_t size, char kind) {
    const char *data = NULL;
    pickle_value_t *value = NULL;
    char wide[8];
    TRY(take_bytes(pickle, size, &data));
    if (size > sizeof wide) {
        return pickle_refused(pickle, "an integer of more than 64 bits");
    }
    bool negative = kind == 'i' && size > 0 && ((unsigned char)data[size - 1] & 0x80) != 0;
    memset(wide, negative ? 0xff : 0, sizeof wide);
    memcpy(wide, data, (size_t)size);
    TRY(push_new(pickle, PICKLE_INT, &value));
    value->u.integer = number_read_int(wide, (number_type_t){'i', sizeof wide, false});
    return STATUS_OK;
}

static status_t push_float(pickle_t *pickle) {
    const char *data = NULL;
    pickle_value_t *value = NULL;
    TRY(take_bytes(pickle, 8, &data));
    TRY(push_new(pickle, PICKLE_FLOAT, &value));
    value->u.real = number_read(data, (number_type_t){'f', 8, true});
    return STATUS_OK;
}

/* A text or bytes behind their length, itself a number of `size` bytes. */
static status_t push_text(pickle_t *pickle, int size, int kind) {
    uint64_t bytes = 0;
    pickle_value_t *value = NULL;
    TRY(take_number(pickle, size, &bytes));
    TRY(push_new(pickle, kind, &value));
    value->u.text.bytes = (int64_t)bytes;
    return take_bytes(pickle, bytes, &value->u.text.data);
}

/* What stands above the mark, as one value. */
static status_t push_gathered(pickle_t *pickle, int kind) {
    pickle_value_t **items = NULL, *value = NULL;
    int64_t count = 0;
    TRY(pickle_make(pickle, kind, &value));
    TRY(pop_mark(pickle, &items, &count));
    if (kind == PICKLE_DICT && count % 2 != 0) {
        return pickle_damaged(pickle, "a key has no value");
    }
    for (int64_t i = 0; i < count; i++) {
        TRY(pickle_put(pickle, value, items[i]));
    }
    return push(pickle, value);
}

static status_t push_tuple(pickle_t *pickle, int count) {
    pickle_value_t *items[3] = {NULL}, *tuple = NULL;
    for (int i = count - 1; i >= 0; i--) {
        TRY(pop(pickle, &items[i]));
    }
    TRY(push_new(pickle, PICKLE_TUPLE, &tuple));
    for (int i = 0; i < count; i++) {
        TRY(pickle_put(pickle, tuple, items[i]));
    }
    return STATUS_OK;
}

/* One value, or all above the mark, into the list or dict below them. */
static status_t add_items(pickle_t *pickle, int kind, bool marked) {
    pickle_value_t **items = NULL, *list = NULL;
    int64_t count = kind == PICKLE_DICT ? 2 : 1;
    if (marked) {
        TRY(pop_mark(pickle, &items, &count));
    } else if (above_mark(pickle) < count) {
        return pickle_damaged(pickle, "its stack is empty");
    } else {
        pickle->stack_count -= count;
        items = pickle->stack + pickle->stack_count;
    }
    TRY(top(pickle, &list));
    if (list->kind != (pickle_kind_t)kind || (kind == PICKLE_DICT && count % 2 != 0)) {
        return pickle_damaged(pickle, "items are added to what takes none");
    }
    for (int64_t i = 0; i < count; i++) {
        TRY(pickle_put(pickle, list, items[i]));
    }
    return STATUS_OK;
}

/* --- objects --------------------------------------------------------------------------------- */

static status_t push_global(pickle_t *pickle) {
    pickle_text_t module, name;
    pickle_value_t *value = NULL;
    TRY(take_line(pickle, &module));
    TRY(take_line(pickle, &name));
    TRY(pickle_global(pickle, module, name, &value));
    return push(pickle, value);
}

static status_t push_stack_global(pickle_t *pickle) {
    pickle_value_t *module = NULL, *name = NULL, *value = NULL;
    TRY(pop(pickle, &name));
    TRY(pop(pickle, &module));
    if (module->kind != PICKLE_TEXT || name->kind != PICKLE_TEXT) {
        return pickle_damaged(pickle, "the name of a global is no text");
    }
    TRY(pickle_global(pickle, module->u.text, name->u.text, &value));
    return push(pickle, value);
}

static status_t push_called(pickle_t *pickle) {
    pickle_value_t *callee = NULL, *arguments = NULL, *value = NULL;
    TRY(pop(pickle, &arguments));
    TRY(pop(pickle, &callee));
    if ((int)callee->kind != PICKLE_GLOBAL || arguments->kind != PICKLE_TUPLE) {
        return pickle_damaged(pickle, "what is called is no function");
    }
    TRY(pickle_call(pickle, callee, arguments, &value));
    return push(pickle, value);
}

static status_t build(pickle_t *pickle) {
    pickle_value_t *state = NULL, *value = NULL;
    TRY(pop(pickle, &state));
    TRY(top(pickle, &value));
    if (value->closed) {
        return pickle_refused(pickle, "a value that holds itself");
    }
    return pickle_build(pickle, value, state);
}

static status_t push_outside(pickle_t *pickle) {
    pickle_value_t *id = NULL, *value = NULL;
    TRY(pop(pickle, &id));
    TRY(pickle_outside(pickle, id, &value));
    return push(pickle, value);
}

/* --- opcodes --------------------------------------------------------------------------------- */

static status_t protocol(pickle_t *pickle) {
    uint64_t number = 0;
    TRY(take_number(pickle, 1, &number));
    return number >= 2 && number <= PROTOCOL_MAX
               ? STATUS_OK
               : pickle_refused(pickle, "another protocol than 2, 3, 4 or 5");
}

static status_t frame(pickle_t *pickle) {
    uint64_t bytes = 0;
    TRY(take_number(pickle, 8, &bytes));
    return bytes <= pickle->bytes - pickle->at ? STATUS_OK
                                               : pickle_damaged(pickle, "it is cut off");
}

static status_t push_long(pickle_t *pickle, int size) {
    uint64_t bytes = 0;
    TRY(take_number(pickle, size, &bytes));
    return push_int(pickle, bytes, 'i');
}

static status_t memo_step(pickle_t *pickle, int size, bool keep) {
    uint64_t index = 0;
    TRY(take_number(pickle, size, &index));
    return keep ? remember(pickle, index) : recall(pickle, index);
}

static status_t pop_marked(pickle_t *pickle) {
    pickle_value_t **items = NULL;
    int64_t count = 0;
    return pop_mark(pickle, &items, &count);
}

static status_t duplicate(pickle_t *pickle) {
    pickle_value_t *value = NULL;
    TRY(top(pickle, &value));
    return push(pickle, value);
}

/* Values that stand in the pickle themselves. */
static status_t step_value(pickle_t *pickle, unsigned code, bool *known_out) {
    pickle_value_t *value = NULL;
    switch (code) {
    case 'N':
        return push_new(pickle, PICKLE_NONE, &value);
    case 0x88:
    case 0x89:
        return push_bool(pickle, code == 0x88);
    case 'J':
        return push_int(pickle, 4, 'i');
    case 'K':
        return push_int(pickle, 1, 'u');
    case 'M':
        return push_int(pickle, 2, 'u');
    case 0x8a:
        return push_long(pickle, 1);
    case 0x8b:
        return push_long(pickle, 4);
    case 'G':
        return push_float(pickle);
    case 'U': /* Python 2's str: its names are text */
    case 0x8c:
        return push_text(pickle, 1, PICKLE_TEXT);
    case 'T':
    case 'X':
        return push_text(pickle, 4, PICKLE_TEXT);
    case 0x8d:
        return push_text(pickle, 8, PICKLE_TEXT);
    case 'C':
        return push_text(pickle, 1, PICKLE_BYTES);
    case 'B':
        return push_text(pickle, 4, PICKLE_BYTES);
    case 0x8e:
    case 0x96:
        return push_text(pickle, 8, PICKLE_BYTES);
    default:
        *known_out = false;
        return STATUS_OK;
    }
}

/* Lists, tuples, dicts. */
static status_t step_group(pickle_t *pickle, unsigned code, bool *known_out) {
    pickle_value_t *value = NULL;
    switch (code) {
    case ']':
        return push_new(pickle, PICKLE_LIST, &value);
    case '}':
        return push_new(pickle, PICKLE_DICT, &value);
    case 'l':
        return push_gathered(pickle, PICKLE_LIST);
    case 't':
        return push_gathered(pickle, PICKLE_TUPLE);
    case 'd':
        return push_gathered(pickle, PICKLE_DICT);
    case ')':
        return push_tuple(pickle, 0);
    case 0x85:
    case 0x86:
    case 0x87:
        return push_tuple(pickle, (int)code - 0x84);
    case 'a':
        return add_items(pickle, PICKLE_LIST, false);
    case 'e':
        return add_items(pickle, PICKLE_LIST, true);
    case 's':
        return add_items(pickle, PICKLE_DICT, false);
    case 'u':
        return add_items(pickle, PICKLE_DICT, true);
    default:
        *known_out = false;
        return STATUS_OK;
    }
}

/* Stack, memo, objects. */
static status_t step_machine(pickle_t *pickle, unsigned code) {
    pickle_value_t *value = NULL;
    switch (code) {
    case 0x80:
        return protocol(pickle);
    case 0x95:
        return frame(pickle);
    case '(':
        return push_mark(pickle);
    case '0':
        return pop(pickle, &value);
    case '1':
        return pop_marked(pickle);
    case '2':
        return duplicate(pickle);
    case 'q':
        return memo_step(pickle, 1, true);
    case 'r':
        return memo_step(pickle, 4, true);
    case 0x94:
        return remember(pickle, (uint64_t)pickle->memo_count);
    case 'h':
        return memo_step(pickle, 1, false);
    case 'j':
        return memo_step(pickle, 4, false);
    case 'c':
        return push_global(pickle);
    case 0x93:
        return push_stack_global(pickle);
    case 'R':
        return push_called(pickle);
    case 'b':
        return build(pickle);
    case 'Q':
        return push_outside(pickle);
    default:
        pickle->at--;
        return pickle_damaged(pickle, "an unknown operation, or one of another protocol or of an "
                                      "object");
    }
}

status_t pickle_run(pickle_t *pickle) {
    for (;;) {
        const char *code = NULL;
        bool known = true;
        TRY(take_bytes(pickle, 1, &code));
        if (*code == '.') {
            break;
        }
        TRY(step_value(pickle, (unsigned char)*code, &known));
        if (!known) {
            known = true;
            TRY(step_group(pickle, (unsigned char)*code, &known));
        }
        if (!known) {
            TRY(step_machine(pickle, (unsigned char)*code));
        }
    }
    TRY(pop(pickle, &pickle->root));
    return pickle->root->plain ? STATUS_OK : pickle_refused(pickle, "no data but a function");
}
