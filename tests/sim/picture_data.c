/* picture_data DIR SIDE - writes a small data directory with pictures (unit/picture_case.h). */
#include <stdio.h>
#include <stdlib.h>

#include "unit/picture_case.h"

int main(int argc, char **argv) {
    status_t status = argc == 3 ? picture_data_write(argv[1], strtol(argv[2], NULL, 10))
                                : status_fail(STATUS_INPUT, "usage: picture_data DIR SIDE");
    if (status != STATUS_OK) {
        fprintf(stderr, "picture_data: %s\n", status_text());
    }
    return (int)status;
}
