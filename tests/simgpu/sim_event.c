/* Events: points in streams that others wait for. */
#include <stdlib.h>

#include "simgpu.h"

struct sim_record {
    bool done;
    sim_clock_t clock; /* what was over then */
    double when_s;
    unsigned references;
};

struct CUevent_st {
    sim_record_t *last; /* NULL: never recorded, or within a capture */
    struct sim_capture *capture;
    int slot; /* of that capture */
    bool timed;
};

typedef struct mark {
    sim_op_t op;
    sim_record_t *record;
} mark_t;

sim_record_t *sim_record_new(void) {
    sim_record_t *record = calloc(1, sizeof *record);
    if (record == NULL) {
        sim_report(NULL, "no memory for an event");
    }
    record->references = 1;
    return record;
}

void sim_record_hold(sim_record_t *record) { record->references++; }

void sim_record_drop(sim_record_t *record) {
    if (record != NULL && --record->references == 0) {
        free(record);
    }
}

bool sim_record_is_done(const sim_record_t *record) { return record->done; }

static bool run_record(sim_op_t *op) {
    sim_record_t *record = ((mark_t *)op)->record;
    record->clock = *sim_now.clock;
    record->when_s = sim_now_s();
    record->done = true;
    return true;
}

static bool run_wait(sim_op_t *op) {
    const sim_record_t *record = ((mark_t *)op)->record;
    if (record->done) {
        sim_clock_merge((sim_clock_t *)(uintptr_t)sim_now.clock, &record->clock);
    }
    return record->done;
}

static void drop_mark(sim_op_t *op) { sim_record_drop(((mark_t *)op)->record); }

static sim_op_t *mark_new(const char *name, bool (*run)(sim_op_t *), sim_record_t *record) {
    mark_t *mark = sim_op_new(sizeof *mark, name, run, drop_mark);
    mark->record = record;
    sim_record_hold(record);
    return &mark->op;
}

sim_op_t *sim_record_op(sim_record_t *record) {
    return mark_new("cudaEventRecord", run_record, record);
}

sim_op_t *sim_wait_op(sim_record_t *record) {
    return mark_new("cudaStreamWaitEvent", run_wait, record);
}

/* --- the runtime's calls -------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return cudaErrorMemoryAllocation;
    }
    (*out)->timed = (flags & cudaEventDisableTiming) == 0;
    sim_count_live(1, "event", SIM_PC);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    sim_record_drop(event->last);
    free(event);
    sim_count_live(-1, "event", NULL);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    struct CUstream_st *on = sim_stream_of(stream);
    if (sim_nccl_adds(stream)) {
        sim_report(SIM_PC,
                   "cudaEventRecord: NCCL has yet to put into this stream what it was asked "
                   "for: ask ncclCommGetAsyncError first");
    }
    sim_record_drop(event->last);
    event->last = NULL;
    event->capture = sim_capture_of(on);
    if (event->capture != NULL) {
        event->slot = sim_capture_record(on);
        return cudaSuccess;
    }
    event->last = sim_record_new();
    return sim_enqueue(stream, sim_record_op(event->last));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    (void)flags;
    return cudaEventRecord(event, stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    struct CUstream_st *on = sim_stream_of(stream);
    (void)flags;
    if (event->capture != NULL) {
        sim_capture_wait(on, event->capture, event->slot);
        return cudaSuccess;
    }
    if (event->last == NULL) {
        sim_report(SIM_PC, "cudaStreamWaitEvent: the event was never recorded, so nothing waits");
    }
    if (sim_capture_of(on) != NULL) {
        sim_report(SIM_PC, "cudaStreamWaitEvent: a captured stream waits for an event that was "
                           "recorded outside of the capture");
    }
    return sim_enqueue(stream, sim_wait_op(event->last));
}

static void refuse_captured(const struct CUevent_st *event, const char *call, const void *pc) {
    sim_host_waits(call, pc);
    if (event->capture != NULL) {
        sim_report(pc, "%s: the event was last recorded in a capture", call);
    }
}

static bool is_done(const void *record) { return ((const sim_record_t *)record)->done; }

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    refuse_captured(event, "cudaEventSynchronize", SIM_PC);
    if (event->last == NULL) {
        return cudaSuccess;
    }
    cudaError_t error = sim_drive(is_done, event->last);
    sim_host_knows(&event->last->clock);
    return error;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    refuse_captured(event, "cudaEventQuery", SIM_PC);
    sim_step();
    sim_memory_open(false);
    return event->last != NULL && !event->last->done ? cudaErrorNotReady
                                                     : cudaEventSynchronize(event);
}

cudaError_t cudaEventElapsedTime(float *ms_out, cudaEvent_t from, cudaEvent_t to) {
    if (from->last == NULL || to->last == NULL || !from->timed || !to->timed) {
        return cudaErrorInvalidResourceHandle;
    }
    if (!from->last->done || !to->last->done) {
        return cudaErrorNotReady;
    }
    *ms_out = (float)(1e3 * (to->last->when_s - from->last->when_s));
    return cudaSuccess;
}
