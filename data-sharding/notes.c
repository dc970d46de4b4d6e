#include "data-sharding/notes.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"

static note_t *note_of(notes_t *notes, const char *what) {
    int i = 0;
    while (i < notes->count && strcmp(notes->items[i].what, what) != 0) {
        i++;
    }
    if (i == notes->count) {
        notes->items = array_grow(notes->items, notes->count++, sizeof *notes->items);
        notes->items[i] = (note_t){.what = what};
    }
    return &notes->items[i];
}

void notes_add(notes_t *notes, const char *what, int64_t count, const char *first) {
    if (count == 0) {
        return;
    }
    note_t *note = note_of(notes, what);
    if (note->count == 0 && first != NULL) {
        note->first = text_copy(first);
    }
    note->count += count;
}

void notes_list(notes_t *notes, const char *what, const char *text) {
    note_t *note = note_of(notes, what);
    char *longer = note->count == 0 ? text_copy(text) : text_format("%s\n%s", note->first, text);
    free(note->first);
    note->first = longer;
    note->all = true;
    note->count++;
}

void notes_merge(notes_t *into, notes_t *from) {
    for (int i = 0; i < from->count; i++) {
        const note_t *note = &from->items[i];
        if (note->all) {
            notes_list(into, note->what, note->first);
            note_of(into, note->what)->count += note->count - 1;
        } else {
            notes_add(into, note->what, note->count, note->first);
        }
    }
    notes_free(from);
}

static void tell_all(const note_t *note) {
    log_warning("%lld %s:", (long long)note->count, note->what);
    for (const char *line = note->first; line != NULL;) {
        int bytes = (int)strcspn(line, "\n");
        log_warning("%.*s", bytes, line);
        line = line[bytes] == '\n' ? line + bytes + 1 : NULL;
    }
}

void notes_tell(const notes_t *notes) {
    for (int i = 0; i < notes->count; i++) {
        const note_t *note = &notes->items[i];
        if (note->all) {
            tell_all(note);
        } else if (note->first == NULL) {
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
