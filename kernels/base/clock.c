#include "kernels/base/clock.h"

#include <time.h>

static double read_s(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double clock_s(void) { return read_s(CLOCK_MONOTONIC); }

int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double clock_cpu_s(void) { return read_s(CLOCK_PROCESS_CPUTIME_ID); }

void clock_sleep_us(int microseconds) {
    struct timespec pause = {.tv_sec = microseconds / 1000000,
                             .tv_nsec = (long)(microseconds % 1000000) * 1000};
    nanosleep(&pause, NULL);
}
