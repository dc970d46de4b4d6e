/* machine.h - what this machine has for this program, asked of the system; nothing is changed. What
 * cannot be found out is 0 (or ""), never an error. */
#ifndef JMT_MACHINE_H
#define JMT_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct machine {
    char host[256], processor[128];
    int cores;          /* online */
    int cores_allowed;  /* by the affinity mask of this process */
    double cores_quota; /* by the control group; 0: no limit */
    double cores_busy;  /* with other programs, over a tenth of a second */
    double memory_bytes, memory_available_bytes;
    double memory_limit_bytes; /* by the control group or ulimit -v; 0: none */
    double shared_free_bytes;  /* in /dev/shm */
    bool shared_writable;
    bool reads_neighbours; /* a process may read another's memory: MPI's single copy (cma) */
    long files_max;        /* open at once */
    char clock_source[32];
    double clock_read_ns;
    char huge_pages[16]; /* always, madvise, never */
} machine_t;

/* Takes a little more than the tenth of a second. */
void machine_look(machine_t *machine);

/* Runs a program with a deadline; what it writes (both streams) is kept as text, cut at the end.
 * Returns its exit code, 128 + N for a signal, -1 where it could not be started or was late. */
int machine_run(char *const *words, double deadline_s, char *text_out, size_t text_bytes);

#endif
