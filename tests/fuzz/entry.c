/* What libFuzzer calls, for the target that the build names. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_run(FUZZ_TARGET, data, bytes);
    return 0;
}
