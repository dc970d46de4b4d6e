#include "trainer/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"", "kill", "stop", "nan", "enospc"};

status_t fault_parse(int rank, int ranks, fault_t *fault_out) {
    *fault_out = (fault_t){FAULT_NONE, 0};
    const char *text = getenv("JMT_FAULT");
    if (text == NULL || text[0] == '\0') {
        return STATUS_OK;
    }
    char kind[16];
    int for_rank = 0, used = 0;
    long long step = 0;
    if (sscanf(text, "%15[a-z]:%d:%lld%n", kind, &for_rank, &step, &used) != 3 ||
        text[used] != '\0') {
        return status_fail(STATUS_INPUT, "JMT_FAULT=%s: kill|stop|nan|enospc:RANK:STEP is expected",
                           text);
    }
    if (for_rank < 0 || for_rank >= ranks) {
        return status_fail(STATUS_INPUT, "JMT_FAULT=%s: there are ranks 0 to %d", text, ranks - 1);
    }
    for (int i = 1; i < 5; i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            if (for_rank == rank) {
                *fault_out = (fault_t){(fault_kind_t)i, step};
            }
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_INPUT, "JMT_FAULT=%s: unknown fault %s", text, kind);
}

void fault_strike(const fault_t *fault, int64_t step) {
    if (fault->step == step && fault->kind == FAULT_KILL) {
        raise(SIGKILL);
    }
    if (fault->step == step && fault->kind == FAULT_STOP) {
        raise(SIGSTOP);
    }
}
