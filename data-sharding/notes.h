/* notes.h - what an import left out or mended, counted by what it was, with the first case. */
#ifndef JMT_NOTES_H
#define JMT_NOTES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct note {
    const char *what; /* a constant: "pictures that are damaged, taken as missing" */
    int64_t count;
    char *first; /* NULL: nothing more to say */
    bool all;    /* first is of all cases, a line each */
} note_t;

typedef struct notes {
    note_t *items;
    int count;
} notes_t;

void notes_add(notes_t *notes, const char *what, int64_t count, const char *first);
void notes_list(notes_t *notes, const char *what, const char *text); /* each is told */
void notes_merge(notes_t *into, notes_t *from);                      /* from is empty afterwards */
void notes_tell(const notes_t *notes);                               /* a warning each */
void notes_free(notes_t *notes);

#endif
