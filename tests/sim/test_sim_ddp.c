/* Bucketed gradient all-reduce on its own stream over several ranks, right and with planted faults. */
#include "sample_kernels.h"
#include <math.h>
#include <nccl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANKS = 3, BUCKETS = 4, N = 5000, STEPS = 5 };
enum fault {
    NONE,
    NO_EVENT_TO_COMM,
    NO_EVENT_BACK,
    COUNT,
    ORDER,
    KIND,
    SKIP,
    DIES,
    DIES_POLLED,
    FREED,
    GROUPED,
    NFAULTS
};
static const char *const names[] = {"correct",         "no event to comm", "no event back",
                                    "count differs",   "order differs",    "kind differs",
                                    "rank skips one",  "rank dies",        "rank dies, polled",
                                    "freed in flight", "correct, grouped"};
static int rank_main(int rank, ncclUniqueId id, enum fault fault) {
    setenv("SIMGPU_SAME_BUFFERS", "1", 1);
    cudaSetDevice(rank);
    cudaStream_t compute, comm_stream;
    cudaEvent_t ready[BUCKETS], reduced;
    ncclComm_t comm;
    float *grad[BUCKETS], *weight[BUCKETS], *host = malloc(N * sizeof *host), expected = 0;
    cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&comm_stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&reduced, cudaEventDisableTiming);
    ncclCommInitRank(&comm, RANKS, id, rank);
    for (int b = 0; b < BUCKETS; b++) {
        cudaEventCreateWithFlags(&ready[b], cudaEventDisableTiming);
        cudaMalloc((void **)&grad[b], N * sizeof(float));
        cudaMalloc((void **)&weight[b], N * sizeof(float));
        fill(compute, weight[b], 1, N);
    }
    for (int step = 0; step < STEPS; step++) {
        if (step == 2 && rank == 1 && (fault == DIES || fault == DIES_POLLED))
            raise(SIGKILL);
        for (int b = 0; b < BUCKETS; b++) {
            fill(compute, grad[b], (float)(rank + b + step), N); /* the backward pass */
            cudaEventRecord(ready[b], compute);
        }
        if (fault == GROUPED)
            ncclGroupStart();
        for (int i = 0; i < BUCKETS; i++) {
            int b = fault == ORDER && rank == 1 && step == 1 ? BUCKETS - 1 - i : i;
            size_t n = fault == COUNT && rank == 1 && step == 1 && b == 2 ? N - 1
                       : fault == ORDER                                   ? (size_t)(N - b)
                                                                          : N;
            if (fault == SKIP && rank == 1 && step == 1 && b == 2)
                continue;
            if (fault != NO_EVENT_TO_COMM)
                cudaStreamWaitEvent(comm_stream, ready[b], 0);
            if (fault == KIND && rank == 1 && step == 1 && b == 2)
                ncclBroadcast(grad[b], grad[b], n, ncclFloat32, 0, comm, comm_stream);
            else
                ncclAllReduce(grad[b], grad[b], n, ncclFloat32, ncclAvg, comm, comm_stream);
        }
        if (fault == GROUPED)
            ncclGroupEnd();
        if (fault == FREED && step == 1) {
            cudaFree(grad[0]);
            ncclAllReduce(grad[0], grad[0], N, ncclFloat32, ncclAvg, comm, comm_stream);
        }
        cudaEventRecord(reduced, comm_stream);
        if (fault != NO_EVENT_BACK)
            cudaStreamWaitEvent(compute, reduced, 0);
        for (int b = 0; b < BUCKETS; b++)
            scale(compute, weight[b], grad[b], 1, N); /* stands for the optimizer */
        expected = 1 + BUCKETS - 1 + (float)step;
        if (fault == DIES_POLLED) {
            ncclResult_t e = ncclSuccess;
            while (cudaStreamQuery(compute) == cudaErrorNotReady && !e)
                ncclCommGetAsyncError(comm, &e);
            if (e) {
                fprintf(stderr, "simgpu: (told) rank %d: %s: %s\n", rank, ncclGetErrorString(e),
                        ncclGetLastError(comm));
                ncclCommAbort(comm);
                return 5;
            }
        }
    }
    cudaStreamSynchronize(compute);
    cudaMemcpy(host, weight[BUCKETS - 1], N * sizeof *host, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++)
        if (!(fabsf(host[i] - expected) <= 1e-5f) && fault != ORDER)
            return fprintf(stderr, "simgpu: wrong data: %g, not %g\n", host[i], expected), 3;
    ncclCommDestroy(comm);
    return 0;
}
int main(int argc, char **argv) {
    int missed = 0, seeds = getenv("SEEDS") ? atoi(getenv("SEEDS")) : 8;
    if (argc > 1) {
        ncclUniqueId id;
        int bad = 0, status;
        ncclGetUniqueId(&id);
        for (int r = 0; r < RANKS; r++)
            if (!fork())
                _exit(rank_main(r, id, (enum fault)atoi(argv[1])));
        while (wait(&status) > 0)
            bad += status != 0;
        return bad != 0;
    }
    setenv("SIMGPU_TIMEOUT", "1", 0);
    for (int f = 0; f < NFAULTS; f++) {
        int caught = 0;
        char said[2000] = "\n";
        for (int seed = 0; seed < seeds; seed++) {
            char cmd[300], line[400];
            snprintf(cmd, sizeof cmd, "ASAN_OPTIONS=detect_leaks=0 SIMGPU_SEED=%d '%s' %d 2>&1",
                     seed, argv[0], f);
            FILE *p = popen(cmd, "r");
            while (fgets(line, sizeof line, p))
                if (*said == '\n' && strstr(line, "simgpu:"))
                    strcpy(said, line);
            caught += pclose(p) != 0;
        }
        printf("%-18s %d/%d  %s", names[f], caught, seeds, said);
        missed += f == NONE || f == GROUPED ? caught > 0 : caught == 0;
    }
    printf("%d missed\n", missed);
    return missed != 0;
}
