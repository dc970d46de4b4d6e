#include "simgpu.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t state;
static unsigned seed;

__attribute__((constructor)) static void seed_init(void) {
    const char *s = getenv("SIMGPU_SEED");
    seed = s ? (unsigned)strtoul(s, NULL, 0) : 0;
    state = seed * 0x9E3779B97F4A7C15u + 1;
}
unsigned sim_seed(void) { return seed; }
uint32_t sim_rand(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)((state >> 32) * n >> 32);
}

/* Only ever called on the way out, so a child process for the source line is fine. */
static void print_line(const void *pc) {
    extern const char __executable_start[];
    char cmd[300], exe[200];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (!pc || n < 0)
        return;
    exe[n] = 0;
    snprintf(cmd, sizeof cmd, "addr2line -Cpse '%s' 0x%zx", exe,
             (size_t)((const char *)pc - __executable_start) - 1);
    FILE *f = popen(cmd, "r");
    char line[200];
    while (f && fgets(line, sizeof line, f))
        fprintf(stderr, "    at %s", line);
    if (f)
        pclose(f);
}
void sim_report(const void *pc, const char *fmt, ...) {
    char where[200];
    va_list ap;
    sim_memory_open(true);
    sim_where(where, sizeof where);
    va_start(ap, fmt);
    fprintf(stderr, "simgpu: ");
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n    in %s, SIMGPU_SEED=%u\n", where, seed);
    print_line(pc);
    fflush(NULL);
    _exit(66);
}
