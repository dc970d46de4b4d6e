/* raw_make LAYOUT DIR - raw media of which everything is known (unit/raw_case.h), as LAYOUT has it:
 * affwild2, biovid, or media (with its manifest). */
#include <stdio.h>
#include <string.h>

#include "unit/raw_case.h"

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(const char *dir);
    } layouts[] = {{"affwild2", raw_affwild2}, {"biovid", raw_biovid}, {"media", raw_media}};
    for (size_t i = 0; argc == 3 && i < sizeof layouts / sizeof layouts[0]; i++) {
        if (strcmp(argv[1], layouts[i].name) == 0) {
            layouts[i].make(argv[2]);
            return 0;
        }
    }
    fprintf(stderr, "usage: raw_make affwild2|biovid|media DIR\n");
    return 2;
}
