/* In the place of test_convolution_plans where there is no cuDNN to ask. */
#include <stdio.h>

int main(void) {
    puts("SKIP: built without NVIDIA's cuDNN (CUDA_HOME), or with the simulated one");
    return 77;
}
