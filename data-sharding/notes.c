#include "data-sharding/notes.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"

void notes_add(notes_t *notes, const char *what, int64_t count, const char *first) {
    if (count == 0) {
        return;
    }
    int i = 0;
    while (i < notes->count && strcmp(notes->items[i].what, what) != 0) {
        i++;
    }
    if (i == notes->count) {
        notes->items = array_grow(notes->items, notes->count++, sizeof *notes->items);
        notes->items[i] = (note_t){what, 0, first == NULL ? NULL : text_copy(first)};
    }
    notes->items[i].count += count;
}

void notes_merge(notes_t *into, notes_t *from) {
    for (int i = 0; i < from->count; i++) {
        notes_add(into, from->items[i].what, from->items[i].count, from->items[i].first);
    }
    notes_free(from);
}

void notes_tell(const notes_t *notes) {
    for (int i = 0; i < notes->count; i++) {
        const note_t *note = &notes->items[i];
        if (note->first == NULL) {
            log_warning("%lld %s", (long long)note->count, note->what);
        } else {
            log_warning("%lld %s; the first: %s", (long long)note->count, note->what, note->first);
        }
    }
}

void notes_free(notes_t *notes) {
    for (int i = 0; i < notes->count; i++) {
        free(notes->items[i].first);
    }
    free(notes->items);
    *notes = (notes_t){0};
}
