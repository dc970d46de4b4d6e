/* The seed, the settings of the environment, and how a fault is reported. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "simgpu.h"

enum { EXIT_CODE = 66 };

static uint64_t state;
static unsigned seed;

long sim_setting(const char *variable, long otherwise) {
    const char *text = getenv(variable);
    return text == NULL || *text == '\0' ? otherwise : strtol(text, NULL, 0);
}

bool sim_fails(const char *call) {
    const char *name = getenv("SIMGPU_FAILS");
    return name != NULL && strcmp(name, call) == 0;
}

__attribute__((constructor)) static void seed_init(void) {
    seed = (unsigned)sim_setting("SIMGPU_SEED", 0);
    state = seed * 0x9E3779B97F4A7C15u + 1;
}

unsigned sim_seed(void) { return seed; }

uint32_t sim_random(uint32_t n) { /* xorshift */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * n >> 32);
}

static long asked[SIM_ASKED];

static size_t brought;

void sim_asked(sim_asked_t what) { asked[what]++; }

void sim_brought(size_t bytes) { brought += bytes; }

__attribute__((destructor)) static void write_asked(void) {
    const char *path = getenv("SIMGPU_CALLS");
    FILE *file = path != NULL && asked[SIM_ASKED_OPERATION] > 0 ? fopen(path, "a") : NULL;
    if (file != NULL) {
        fprintf(file, "operations %ld graphs %ld waits %ld bytes %zu\n", asked[SIM_ASKED_OPERATION],
                asked[SIM_ASKED_GRAPH], asked[SIM_ASKED_WAIT], brought);
        fclose(file);
    }
}

double sim_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Only on the way out, so a child process for the source line is fine. */
static void print_line_of(const void *pc) {
    extern const char __ehdr_start[]; /* of the program, or of the shared object that has this */
    Dl_info object = {.dli_fname = ""};
    char command[1100], program[1000], line[600];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (pc == NULL || n < 0) {
        return;
    }
    program[n] = '\0';
    if (dladdr(__ehdr_start, &object) != 0 && strstr(object.dli_fname, ".so") != NULL) {
        snprintf(program, sizeof program, "%s", object.dli_fname);
    }
    snprintf(command, sizeof command, "addr2line -Cpse '%s' 0x%zx", program,
             (size_t)((const char *)pc - __ehdr_start) - 1);
    FILE *pipe = popen(command, "r");
    while (pipe != NULL && fgets(line, sizeof line, pipe) != NULL) {
        fprintf(stderr, "    at %s", line);
    }
    if (pipe != NULL) {
        pclose(pipe);
    }
}

void sim_report(const void *pc, const char *format, ...) {
    char where[200], text[2000];
    va_list list;
    sim_memory_open(true); /* what is reported may lie there */
    sim_where(where, sizeof where);
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "simgpu: %s\n    in %s, SIMGPU_SEED=%u\n", text, where, seed);
    print_line_of(pc);
    fflush(NULL);
    _exit(EXIT_CODE);
}
