/* Every planted fault must be caught.  Each runs in a child; a report, or wrong data, is a catch. */
#include "sample_kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static cudaStream_t s, t;
static cudaEvent_t e;
static float *a, *b, *h, *pinned;
enum { N = 256 };

static int check(float want) /* after a sync: 3 when the data are wrong */
{
    float got[N];
    cudaMemcpy(got, b, sizeof got, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++)
        if (got[i] != want)
            return 3;
    return 0;
}
static int missing_barrier(void) {
    bad_missing_barrier(s, b, a, N);
    cudaStreamSynchronize(s);
    return check(1);
}
static int divergent(void) {
    bad_divergent(s, b, N);
    return cudaStreamSynchronize(s), 0;
}
static int divergent_shuffle(void) {
    bad_divergent_shuffle(s, b, 32);
    return cudaStreamSynchronize(s), 0;
}
static int global_index(void) {
    bad_global_index(s, b, N);
    return cudaStreamSynchronize(s), 0;
}
static int shared_index(void) {
    bad_shared_index(s, b, 32);
    return cudaStreamSynchronize(s), 0;
}
static int dynamic_shared(void) {
    bad_dynamic_shared(s, b, N);
    return cudaStreamSynchronize(s), 0;
}
static int block_race(void) {
    bad_block_race(s, b, 8);
    return cudaStreamSynchronize(s), 0;
}
static int uninitialised(void) {
    float *c;
    cudaMalloc((void **)&c, N * sizeof *c);
    bad_uninitialised(s, b, c, N);
    cudaStreamSynchronize(s);
    return check(1);
}
static int host_pointer(void) {
    bad_host_pointer(s, b, h, N);
    return cudaStreamSynchronize(s), 0;
}
static int overflow(void) {
    bad_overflow(s, (int *)b, 100000);
    return cudaStreamSynchronize(s), 0;
}
static int missing_event(void) {
    scale(s, b, a, 2, N);
    scale(t, b, b, 3, N); /* needs: cudaEventRecord(e, s); cudaStreamWaitEvent(t, e, 0); */
    cudaStreamSynchronize(t);
    cudaStreamSynchronize(s);
    return check(6);
}
static int event_too_early(void) {
    cudaEventRecord(e, s); /* belongs after the next line */
    scale(s, b, a, 2, N);
    cudaStreamWaitEvent(t, e, 0);
    scale(t, b, b, 3, N);
    cudaDeviceSynchronize();
    return check(6);
}
static int missing_sync(void) /* the host reads a pinned result too early */
{
    scale(s, b, a, 2, N);
    cudaMemcpyAsync(pinned, b, N * sizeof *b, cudaMemcpyDeviceToHost, s);
    return pinned[0] == 2 ? 0 : 3;
}
static int reused_staging(void) /* the host refills a pinned buffer whose copy is pending */
{
    for (int i = 0; i < N; i++)
        pinned[i] = 1;
    cudaMemcpyAsync(b, pinned, N * sizeof *b, cudaMemcpyHostToDevice, s);
    for (int i = 0; i < N; i++)
        pinned[i] = 2;
    cudaStreamSynchronize(s);
    return check(1);
}
static int use_after_free(void) {
    float *c = b;
    cudaFree(c);
    scale(s, c, a, 2, N);
    return cudaStreamSynchronize(s), 0;
}
static int double_free(void) {
    cudaFree(b);
    cudaFree(b);
    return 0;
}
static int host_touches(void) { return b[3] == 7; }
static int copy_too_long(void) {
    cudaMemcpyAsync(b, a, N * 4 + 4, cudaMemcpyDeviceToDevice, s);
    return cudaStreamSynchronize(s), 0;
}
static int never_recorded(void) {
    cudaStreamWaitEvent(t, e, 0);
    return 0;
}
static int wrong_kind(void) {
    cudaMemcpyAsync(b, a, 4, cudaMemcpyHostToDevice, s);
    return cudaStreamSynchronize(s), 0;
}
static int last_block(int fence) {
    float *part, got;
    cudaMalloc((void **)&part, 20 * sizeof *part);
    cudaMemsetAsync(b, 0, N * sizeof *b, s);
    last_block_sum(s, a, part, (unsigned *)b, fence);
    cudaStreamSynchronize(s);
    cudaMemcpy(&got, a, sizeof got, cudaMemcpyDeviceToHost);
    return got != 20 * 64;
}
static int no_fence(void) { return last_block(0); }
static int correct(void) /* no fault: must pass */
{
    scale(s, b, a, 2, N);
    cudaEventRecord(e, s);
    cudaStreamWaitEvent(t, e, 0);
    scale(t, b, b, 3, N);
    cudaEventRecord(e, t);
    cudaStreamWaitEvent(s, e, 0);
    scale(s, b, b, 0.5f, N);
    cudaMemcpyAsync(pinned, b, N * sizeof *b, cudaMemcpyDeviceToHost, s);
    cudaStreamSynchronize(s);
    if (pinned[N - 1] != 3)
        return 1;
    return last_block(1);
}
#define F(f)                                                                                       \
    { #f, f }
static const struct {
    const char *name;
    int (*f)(void);
} faults[] = {F(missing_barrier), F(divergent),      F(divergent_shuffle), F(global_index),
              F(shared_index),    F(dynamic_shared), F(block_race),        F(uninitialised),
              F(host_pointer),    F(overflow),       F(missing_event),     F(event_too_early),
              F(missing_sync),    F(reused_staging), F(use_after_free),    F(double_free),
              F(host_touches),    F(copy_too_long),  F(never_recorded),    F(wrong_kind),
              F(no_fence),        F(correct)};

int main(int argc, char **argv) {
    int seeds = getenv("SEEDS") ? atoi(getenv("SEEDS")) : 16, missed = 0;
    if (argc > 1) { /* child: one fault */
        float ones[N];
        for (int i = 0; i < N; i++)
            ones[i] = 1;
        h = malloc(sizeof ones);
        memcpy(h, ones, sizeof ones);
        cudaMalloc((void **)&a, sizeof ones);
        cudaMalloc((void **)&b, sizeof ones);
        cudaMallocHost((void **)&pinned, sizeof ones);
        pinned[0] = 0;
        cudaMemcpy(a, ones, sizeof ones, cudaMemcpyHostToDevice);
        cudaMemcpy(b, ones, sizeof ones, cudaMemcpyHostToDevice);
        cudaStreamCreate(&s);
        cudaStreamCreate(&t);
        cudaEventCreate(&e);
        if (!strcmp(argv[1], "missing_barrier"))
            cudaMemset(b, 0, sizeof ones);
        return faults[atoi(argv[2])].f();
    }
    for (int i = 0; i < (int)(sizeof faults / sizeof *faults); i++) {
        int caught = 0, located = 0;
        char said[300] = "";
        for (int seed = 0; seed < seeds; seed++) {
            char cmd[300], line[300];
            snprintf(cmd, sizeof cmd, "ASAN_OPTIONS=detect_leaks=0 SIMGPU_SEED=%d '%s' %s %d 2>&1",
                     seed, argv[0], faults[i].name, i);
            FILE *f = popen(cmd, "r");
            while (fgets(line, sizeof line, f))
                if (!*said && (strstr(line, "simgpu:") || strstr(line, "runtime error") ||
                               strstr(line, "ERROR: Addr")))
                    strcpy(said, line);
                else if (strstr(said, "simgpu:") && strstr(line, "    at ") && !located &&
                         strlen(said) < 200)
                    said[strcspn(said, "\n")] = 0, strcat(said, line + 3), located = 1;
            int status = pclose(f);
            caught += status != 0;
            if (WEXITSTATUS(status) == 3 && !*said)
                strcpy(said, "wrong data\n");
        }
        printf("%-18s %2d/%d seeds  %s", faults[i].name, caught, seeds, *said ? said : "\n");
        missed += i == sizeof faults / sizeof *faults - 1 ? caught > 0 : !caught;
    }
    printf("%d missed\n", missed);
    return missed != 0;
}
