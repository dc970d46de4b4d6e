/* group.h - a test program that is run on any number of ranks: rank 0 prints the TAP for all.
 * Started alone it can start jobs of itself, for what a job cannot survive. */
#ifndef JMT_TEST_GROUP_H
#define JMT_TEST_GROUP_H

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "comm/comm.h"

/* Runs the tests on all ranks; 0 if no rank failed. JMT_TEST_ALL_RANKS=1 shows every rank's
 * output. */
#define RUN_GROUP_TESTS(comm, tests) (group_quiet(comm), group_failures((comm), RUN_TESTS(tests)))

static inline void group_quiet(const comm_t *comm) {
    if (comm_rank(comm) > 0 && getenv("JMT_TEST_ALL_RANKS") == NULL) {
        REQUIRE(freopen("/dev/null", "w", stdout) != NULL);
    }
}

static inline int group_failures(comm_t *comm, int mine) {
    int all[256] = {0}, sum = 0;
    REQUIRE(comm_size(comm) <= 256);
    if (comm_all_gather(comm, &mine, sizeof mine, all, "collect results") != STATUS_OK) {
        fprintf(stderr, "# rank %d: %s\n", comm_rank(comm), status_text());
        comm_abort(comm, 1);
    }
    for (int r = 0; r < comm_size(comm); r++) {
        if (all[r] != 0 && comm_rank(comm) == 0) {
            printf("# rank %d: %d failed\n", r, all[r]);
        }
        sum += all[r] != 0;
    }
    return sum;
}

/* Runs `mpirun -n RANKS this-program MODE` with the variables given ("A=1 B=2"), in a new mount
 * name space after `before` if that is not NULL. Returns its exit code and what it wrote. */
static inline int group_job(int ranks, const char *variables, const char *mode, const char *before,
                            char *output_out, size_t output_bytes) {
    char self[512], job[2048], command[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    REQUIRE(length > 0);
    self[length] = '\0';
    snprintf(job, sizeof job,
             "env -i PATH=\"$PATH\" HOME=\"$HOME\" LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" "
             "LSAN_OPTIONS=\"$LSAN_OPTIONS\" ASAN_OPTIONS=\"$ASAN_OPTIONS\" "
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
             "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 %s "
             "timeout 60 mpirun -q --bind-to none -n %d %s %s",
             variables, ranks, self, mode);
    if (before == NULL) {
        snprintf(command, sizeof command, "%s 2>&1 </dev/null", job);
    } else {
        snprintf(command, sizeof command, "unshare -m sh -c '%s && %s' 2>&1 </dev/null", before,
                 job);
    }
    fflush(NULL);
    FILE *pipe = popen(command, "r");
    REQUIRE(pipe != NULL);
    size_t bytes = fread(output_out, 1, output_bytes - 1, pipe);
    output_out[bytes] = '\0';
    while (fgetc(pipe) != EOF) {}
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* How often `part` is in `text`. */
static inline int group_occurrences(const char *text, const char *part) {
    int count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

/* What main does with a status in the end: one rank prints, the job ends with the code. */
_Noreturn static inline void group_die(comm_t *comm, status_t status) {
    if (status != STATUS_OK && status != STATUS_PEER) {
        fprintf(stderr, "jmt: error: %s\n", status_text());
    }
    int code = (int)comm_exit_status(comm);
    if (comm_is_broken(comm)) {
        comm_abort(comm, code);
    }
    comm_close(comm);
    exit(code);
}

#endif
