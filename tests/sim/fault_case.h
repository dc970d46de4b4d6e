/* fault_case.h - programs of planted faults: each runs in a child of its own, under the seed that
 * the program is given, and must be reported, or show as wrong data. */
#ifndef JMT_TEST_FAULT_CASE_H
#define JMT_TEST_FAULT_CASE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRONG_DATA = 3, SAID_BYTES = 4096 };

typedef struct fault {
    const char *name;
    int (*run)(void);     /* exit code of the child; WRONG_DATA if the data show it */
    const char *expected; /* of the report, one of several by '|'; NULL: no fault, must pass */
    bool may_pass;        /* under some seeds the order that shows it does not come */
} fault_t;

/* Runs the child and keeps what it wrote. */
static inline int fault_run(const fault_t *fault, char said[SAID_BYTES]) {
    int ends[2], status;
    if (pipe(ends) != 0) {
        return -1;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        exit(fault->run());
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t n;
    char rest[256];
    while ((n = used < SAID_BYTES - 1 ? read(ends[0], said + used, SAID_BYTES - 1 - used)
                                      : read(ends[0], rest, sizeof rest)) > 0) {
        used += used < SAID_BYTES - 1 ? (size_t)n : 0;
    }
    said[used] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline bool fault_was_said(const char *said, const char *expected) {
    char copy[300], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", expected);
    for (char *part = strtok_r(copy, "|", &rest); part != NULL; part = strtok_r(NULL, "|", &rest)) {
        if (strstr(said, part) != NULL) {
            return true;
        }
    }
    return false;
}

static inline bool fault_is_caught(const fault_t *fault, int code, const char *said) {
    if (fault->expected == NULL) {
        return code == 0 && *said == '\0';
    }
    if (code == 0) {
        return fault->may_pass;
    }
    return code == WRONG_DATA || fault_was_said(said, fault->expected);
}

/* Prints TAP; the number of faults that were missed. */
static inline int fault_run_all(const fault_t *faults, int count) {
    int missed = 0;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        char said[SAID_BYTES];
        int code = fault_run(&faults[i], said);
        bool caught = fault_is_caught(&faults[i], code, said);
        missed += !caught;
        printf("%sok %d - %s\n", caught ? "" : "not ", i + 1, faults[i].name);
        printf("# exit %d: %.*s\n", code, caught ? (int)strcspn(said, "\n") : 2000, said);
    }
    return missed != 0;
}

#define FAULT(name, expected)                                                                      \
    { #name, name, expected, false }
#define FAULT_SOMETIMES(name, expected)                                                            \
    { #name, name, expected, true }
#define RIGHT(name)                                                                                \
    { #name, name, NULL, false }

#endif
