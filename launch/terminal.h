/* terminal.h - what stands at the other end of stdout and stderr. Colours and bars are for
 * terminals; files, pipes and --json get neither. */
#ifndef JMT_TERMINAL_H
#define JMT_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

typedef struct terminal {
    int columns;  /* 0: it is no terminal */
    bool colour;  /* NO_COLOR is not set and TERM is not dumb */
    bool redraws; /* TERM is not dumb */
    bool utf8;
} terminal_t;

/* Of stdout or stderr. In a job, where mpirun stands between, it is what `jmt launch` has found and
 * hands on (a rank's stdout looks like a terminal even if mpirun's goes to a file); without a hint
 * none. */
terminal_t terminal_of(FILE *stream);

/* Started by mpirun or srun; as which rank (0: also a process on its own). For what is done before
 * there is a group. */
bool terminal_in_job(void);
int terminal_job_rank(void);

#define TERMINAL_HINT "JMT_TERMINAL"
void terminal_hint_set(void); /* into the environment, for the ranks */

/* Escape sequences where `terminal` has colours, else "". */
typedef enum {
    PAINT_NONE,
    PAINT_BOLD,
    PAINT_DIM,
    PAINT_RED,
    PAINT_GREEN,
    PAINT_YELLOW,
    PAINT_BLUE
} paint_t;
const char *paint(const terminal_t *terminal, paint_t paint); /* PAINT_NONE: ends the last one */

#endif
