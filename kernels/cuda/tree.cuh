/* tree.cuh - one thread walks the canonical tree (comm/tree.h). */
#ifndef JMT_KERNELS_CUDA_TREE_CUH
#define JMT_KERNELS_CUDA_TREE_CUH

enum { TREE_LEVELS = 12 }; /* up to 4,095 leaves */

/* Of n leaves, 1 or more; values have a zero and +. A leaf at a time, as carries go when one counts:
 * what waits for its right side stays in registers, as every index is known to the compiler. */
template <class VALUE, class LEAF>
static __device__ __forceinline__ VALUE tree_total(int n, const LEAF &leaf) {
    VALUE left[TREE_LEVELS] = {};
    for (int i = 0; i < n; i++) {
        VALUE sum = leaf(i);
        bool carried = true;
#pragma unroll
        for (int level = 0; level < TREE_LEVELS; level++) {
            const bool waits = (i >> level & 1) != 0;
            const VALUE both = left[level] + sum;
            left[level] = carried && !waits ? sum : left[level];
            sum = carried && waits ? both : sum;
            carried = carried && waits;
        }
    }
    VALUE sum = {};
    bool any = false;
#pragma unroll
    for (int level = 0; level < TREE_LEVELS; level++) {
        if ((n >> level & 1) != 0) {
            sum = any ? left[level] + sum : left[level];
            any = true;
        }
    }
    return sum;
}

#endif
