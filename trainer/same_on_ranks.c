#include "trainer/same_on_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

static status_t compare(const char *mine, const char *theirs) {
    while (*mine != '\0' || *theirs != '\0') {
        size_t length = strcspn(mine, "\n"), their_length = strcspn(theirs, "\n");
        if (length != their_length || memcmp(mine, theirs, length) != 0) {
            mine += strspn(mine, " ");
            theirs += strspn(theirs, " ");
            return status_fail(STATUS_INPUT,
                               "this rank has '%.*s' where rank 0 has '%.*s'; start all ranks with "
                               "the same command on machines of one kind (or set JMT_ISA)",
                               (int)strcspn(mine, "\n"), mine, (int)strcspn(theirs, "\n"), theirs);
        }
        mine += length + (mine[length] == '\n');
        theirs += their_length + (theirs[their_length] == '\n');
    }
    return STATUS_OK;
}

status_t same_on_ranks(comm_t *comm, const char *text) {
    if (comm_size(comm) == 1) {
        return STATUS_OK;
    }
    int64_t bytes = (int64_t)strlen(text) + 1;
    TRY(comm_broadcast(comm, &bytes, sizeof bytes, "compare settings"));
    char *theirs = alloc_zero(bytes, 1);
    if (comm_rank(comm) == 0) {
        memcpy(theirs, text, (size_t)bytes);
    }
    status_t status = comm_broadcast(comm, theirs, (size_t)bytes, "compare settings");
    if (status == STATUS_OK) {
        status = comm_agree(comm, compare(text, theirs), "compare settings");
    }
    free(theirs);
    return status;
}
