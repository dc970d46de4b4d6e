/* In the place of a test of raw media where its readers are not built. */
#include <stdio.h>

int main(void) {
    puts("SKIP: built without the readers of raw media (-DMEDIA; launch/setup --media)");
    return 77;
}
