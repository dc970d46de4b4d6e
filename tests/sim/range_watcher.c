/* Stands in for a profiler: NVTX loads it where NVTX_INJECTION64_PATH names it. Each range is a
 * line of $RANGES.PID when it begins, behind as many spaces as there are ranges around it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nvtx3/nvToolsExt.h> /* with the types that a profiler meets */

static FILE *file_;
static _Thread_local int depth_;

static int push(const char *name) {
    fprintf(file_, "%*s%s\n", depth_, "", name);
    return depth_++;
}

static int pop(void) {
    if (depth_ == 0) {
        fputs("more ends than beginnings\n", file_);
        return -1;
    }
    return --depth_;
}

static void finish(void) { fclose(file_); }

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get);
int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get) {
    const NvtxExportTableCallbacks *callbacks = get(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table = NULL;
    unsigned count = 0;
    char path[4096];
    if (callbacks == NULL ||
        !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &count)) {
        return 0;
    }
    snprintf(path, sizeof path, "%s.%d", getenv("RANGES"), (int)getpid());
    file_ = fopen(path, "w");
    if (file_ == NULL) {
        return 0;
    }
    *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)push;
    *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)pop;
    atexit(finish);
    return 1;
}
