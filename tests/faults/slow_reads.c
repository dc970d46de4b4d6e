/* slow_reads.c - loaded before the C library (LD_PRELOAD): every pread takes SLOW_READS_US longer,
 * and the end of the program says how many there were: "reads: N in main, N elsewhere", by the
 * thread that made them. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_llong in_main, elsewhere;

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset) {
    const char *pause_us = getenv("SLOW_READS_US");
    if (pause_us != NULL) {
        struct timespec pause = {.tv_nsec = 1000 * strtol(pause_us, NULL, 10)};
        nanosleep(&pause, NULL);
    }
    atomic_fetch_add(getpid() == (pid_t)syscall(SYS_gettid) ? &in_main : &elsewhere, 1);
    return (ssize_t)syscall(SYS_pread64, fd, buffer, bytes, offset);
}

__attribute__((destructor)) static void say(void) {
    fprintf(stderr, "reads: %lld in main, %lld elsewhere\n", (long long)in_main,
            (long long)elsewhere);
}
