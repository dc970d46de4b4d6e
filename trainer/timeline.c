#include "trainer/timeline.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

enum {
    CLOCK_ROUNDS = 32,
    SLICES_MAX = 1 << 20, /* of a track */
    SLICES_BESIDE = 4096, /* not of operations: of a validation, of the step's parts */
};

/* By how much this rank's clock is ahead of rank 0's: it is between these two for sure. */
typedef struct bounds {
    int64_t lower_ns, upper_ns;
} bounds_t;

/* What a rank says of itself before its slices. */
typedef struct said {
    int64_t begin_ns; /* of the recording, on rank 0's clock */
    int64_t accuracy_ns, dropped, bytes;
} said_t;

struct timeline {
    trainer_t *trainer;
    char *path;
    int64_t first, last;
    enum { WAITS, RECORDS, DONE } state;
    bounds_t before, after;
    int64_t begin_ns;
    status_t written;
    char *why; /* it was not */
};

/* --- opening --------------------------------------------------------------------------------- */

static int64_t slices_of(const trainer_t *t, int64_t steps) {
    int64_t each =
        4 * (int64_t)executor_operation_count(t->executor) + 8 * (int64_t)t->flat.bucket_count + 64;
    return min_i64(steps * each + SLICES_BESIDE, SLICES_MAX);
}

static status_t check_folder(const char *path) {
    char *folder = text_copy(path), *slash = strrchr(folder, '/');
    status_t status = STATUS_OK;
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        if (!dir_exists(folder)) {
            status = status_fail(STATUS_INPUT, "--profile %s: there is no folder %s; make it", path,
                                 folder);
        }
    }
    if (status == STATUS_OK && dir_exists(path)) {
        status = status_fail(STATUS_INPUT, "--profile %s is a folder; give a file", path);
    }
    free(folder);
    return status;
}

status_t timeline_open(trainer_t *trainer, const char *path, int64_t first, int64_t last,
                       timeline_t **timeline_out) {
    bool writes = comm_rank(trainer->comm) == 0;
    TRY(comm_agree(trainer->comm, writes ? check_folder(path) : STATUS_OK, "open profile"));
    timeline_t *timeline = alloc_zero(1, sizeof *timeline);
    timeline->trainer = trainer;
    timeline->path = text_copy(path);
    timeline->first = first > 0 ? first : trainer->progress.step + TIMELINE_WARM_UP + 1;
    timeline->last = first > 0 ? last : timeline->first + TIMELINE_STEPS - 1;
    *timeline_out = timeline;
    int64_t slices = slices_of(trainer, timeline->last - timeline->first + 1);
    return comm_agree(trainer->comm, trainer_trace(trainer, slices), "open profile");
}

void timeline_close(timeline_t *timeline) {
    if (timeline != NULL) {
        free(timeline->path);
        free(timeline->why);
        free(timeline);
    }
}

/* --- one clock ------------------------------------------------------------------------------- */

/* A rank cannot have what another sent before it was sent: of each gather both ranks know when they
 * began and when they had everything, and that bounds how far apart their clocks are. */
static status_t measure(const timeline_t *timeline, bounds_t *bounds_out) {
    comm_t *comm = timeline->trainer->comm;
    int ranks = comm_size(comm);
    int64_t mine[2 * CLOCK_ROUNDS];
    int64_t *all = alloc_zero(ranks, sizeof mine), *began = alloc_zero(ranks, sizeof *began);
    const char *operation = "align clocks";
    status_t status = STATUS_OK;
    for (int i = 0; i < CLOCK_ROUNDS && status == STATUS_OK; i++) {
        mine[2 * i] = clock_ns();
        status = comm_all_gather(comm, &mine[2 * i], sizeof mine[0], began, operation);
        mine[2 * i + 1] = clock_ns();
    }
    if (status == STATUS_OK) {
        status = comm_all_gather(comm, mine, sizeof mine, all, operation); /* rank 0's come first */
    }
    bounds_t bounds = {INT64_MIN, INT64_MAX};
    for (int i = 0; i < CLOCK_ROUNDS && status == STATUS_OK; i++) {
        bounds.lower_ns = max_i64(bounds.lower_ns, mine[2 * i] - all[2 * i + 1]);
        bounds.upper_ns = min_i64(bounds.upper_ns, mine[2 * i + 1] - all[2 * i]);
    }
    *bounds_out = comm_rank(comm) == 0 ? (bounds_t){0, 0} : bounds;
    free(began);
    free(all);
    return status;
}

static int64_t middle(bounds_t bounds) {
    return bounds.lower_ns + (bounds.upper_ns - bounds.lower_ns) / 2;
}

/* Clocks drift; between the two measurements it is taken for the mean. */
static int64_t ahead_ns(const timeline_t *timeline) {
    return middle(timeline->before) + (middle(timeline->after) - middle(timeline->before)) / 2;
}

static int64_t accuracy_ns(const timeline_t *timeline) {
    bounds_t a = timeline->before, b = timeline->after;
    int64_t wide = max_i64(a.upper_ns - a.lower_ns, b.upper_ns - b.lower_ns);
    return (wide + llabs(middle(a) - middle(b)) + 1) / 2;
}

/* --- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    FILE *stream;
    int rank;
    int64_t origin_ns; /* time 0 of the file, on this rank's clock */
} writer_t;

static const char *const track_names[TRACK_COUNT] = {
    [TRACK_MAIN] = "main",
    [TRACK_READER] = "reader",
    [TRACK_MESSAGES] = "communication",
    [TRACK_DEVICE] = "device",
};

static int pid_of(const writer_t *w) { return w->rank + 1; } /* 0 would be the system's */

static int tid_of(const writer_t *w, int track) { return 10 * pid_of(w) + track; }

static void put_text(FILE *stream, const char *text) {
    json_t *string = json_string(text);
    char *quoted = json_dumps(string, JSON_ENCODE_ANY);
    fputs(quoted != NULL ? quoted : "\"\"", stream);
    free(quoted);
    json_decref(string);
}

static void put_us(FILE *stream, int64_t ns) {
    fprintf(stream, "%" PRId64 ".%03d", ns / 1000, (int)(ns % 1000));
}

static void put_meta(const writer_t *w, const char *what, int track, const char *name) {
    fprintf(w->stream, ",\n{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d", what, pid_of(w));
    if (track >= 0) {
        fprintf(w->stream, ",\"tid\":%d", tid_of(w, track));
    }
    fputs(",\"args\":{\"name\":", w->stream);
    put_text(w->stream, name);
    fputs("}}", w->stream);
}

static void put_process(const writer_t *w) {
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    char *name = text_format("rank %d on %s", w->rank, host);
    put_meta(w, "process_name", -1, name);
    free(name);
    fprintf(w->stream,
            ",\n{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%d,"
            "\"args\":{\"sort_index\":%d}}",
            pid_of(w), w->rank);
}

static void put_head(const writer_t *w, const trace_slice_t *slice, int track, const char *ph) {
    fprintf(w->stream, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d,\"cat\":\"%s\",\"name\":", ph,
            pid_of(w), tid_of(w, track),
            slice->crossing            ? "reduction"
            : slice->operation != NULL ? "operation"
                                       : "phase");
}

static void put_args(const writer_t *w, const trace_slice_t *slice) {
    if (slice->operation != NULL) {
        fputs(",\"args\":{\"operation\":", w->stream);
        put_text(w->stream, slice->operation);
        fputc('}', w->stream);
    } else if (slice->unit != NULL) {
        fprintf(w->stream, ",\"args\":{\"%s\":%" PRId64 "}", slice->unit, slice->number);
    }
}

/* One row for each bucket: async events, for buckets overlap. On the device one more: what its
 * streams do of it, one after the other. */
static void put_crossing(const writer_t *w, const trace_slice_t *slice, int track) {
    char *name = text_format("%s %s %" PRId64, slice->name, slice->unit, slice->number);
    for (int end = 0; end < 2; end++) {
        put_head(w, slice, track == TRACK_DEVICE ? track : TRACK_MESSAGES, end ? "e" : "b");
        put_text(w->stream, name);
        fprintf(w->stream, ",\"id\":\"%d.%s%" PRId64 "\",\"ts\":", w->rank,
                track == TRACK_DEVICE ? "device." : "", slice->number);
        put_us(w->stream, max_i64(0, (end ? slice->end_ns : slice->begin_ns) - w->origin_ns));
        put_args(w, slice);
        fputc('}', w->stream);
    }
    free(name);
}

static void put_slice(const writer_t *w, const trace_slice_t *slice, int track) {
    int64_t begin_ns = max_i64(0, slice->begin_ns - w->origin_ns);
    put_head(w, slice, track, "X");
    put_text(w->stream, slice->name);
    fputs(",\"ts\":", w->stream);
    put_us(w->stream, begin_ns);
    fputs(",\"dur\":", w->stream);
    put_us(w->stream, max_i64(0, slice->end_ns - w->origin_ns - begin_ns));
    put_args(w, slice);
    fputc('}', w->stream);
}

/* Whoever holds another comes first; of equal ones it has ended, and was kept, later. */
static int by_begin(const void *left, const void *right) {
    const trace_slice_t *a = *(const trace_slice_t *const *)left;
    const trace_slice_t *b = *(const trace_slice_t *const *)right;
    if (a->begin_ns != b->begin_ns) {
        return a->begin_ns < b->begin_ns ? -1 : 1;
    }
    if (a->end_ns != b->end_ns) {
        return a->end_ns > b->end_ns ? -1 : 1;
    }
    return a > b ? -1 : a < b;
}

static void put_track(const writer_t *w, const trace_t *trace, int track) {
    int64_t count = trace_count(trace, (track_t)track);
    const trace_slice_t *slices = trace_slices(trace, (track_t)track);
    const trace_slice_t **order = alloc_zero(count, sizeof(const trace_slice_t *));
    for (int64_t i = 0; i < count; i++) {
        order[i] = &slices[i];
    }
    qsort(order, (size_t)count, sizeof(const trace_slice_t *), by_begin);
    if (count > 0) {
        put_meta(w, "thread_name", track, track_names[track]);
    }
    for (int64_t i = 0; i < count; i++) {
        if (order[i]->crossing) {
            put_crossing(w, order[i], track);
        } else {
            put_slice(w, order[i], track);
        }
    }
    free(order);
}

/* This rank's events, each behind a comma. Caller frees. */
static char *events_text(const timeline_t *timeline, int64_t origin_ns, size_t *bytes_out) {
    char *text = NULL;
    writer_t writer = {open_memstream(&text, bytes_out), comm_rank(timeline->trainer->comm),
                       origin_ns};
    REQUIRE(writer.stream != NULL);
    put_process(&writer);
    for (int track = 0; track < TRACK_COUNT; track++) {
        put_track(&writer, timeline->trainer->trace, track);
    }
    if (fclose(writer.stream) != 0) {
        panic_memory((double)*bytes_out);
    }
    return text;
}

static status_t write_file(const timeline_t *timeline, const said_t *all, const char *events,
                           size_t bytes) {
    int64_t accuracy = 0, dropped = 0;
    for (int r = 0; r < comm_size(timeline->trainer->comm); r++) {
        accuracy = max_i64(accuracy, all[r].accuracy_ns);
        dropped += all[r].dropped;
    }
    char *head = text_format(
        "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"jmt %s\",\"ranks\":%d,"
        "\"first_step\":%" PRId64 ",\"last_step\":%" PRId64 ",\"clock_accuracy_us\":%.3f,"
        "\"slices_left_out\":%" PRId64 "},\n\"traceEvents\":[",
        JMT_VERSION, comm_size(timeline->trainer->comm), timeline->first,
        min_i64(timeline->last, timeline->trainer->progress.step), 1e-3 * (double)accuracy,
        dropped);
    file_piece_t pieces[] = {{head, strlen(head)}, {events + 1, bytes - 1}, {"\n]}\n", 4}};
    status_t status = file_write_pieces(timeline->path, pieces, ARRAY_LEN(pieces));
    free(head);
    TRY(status);
    log_info("timeline of steps %" PRId64 " to %" PRId64 " in %s (clocks of ranks to %.0f us)",
             timeline->first, min_i64(timeline->last, timeline->trainer->progress.step),
             timeline->path, 1e-3 * (double)accuracy);
    if (dropped > 0) {
        log_warning("the timeline lacks %" PRId64 " slices; fewer steps leave room for all: "
                    "--profile-steps",
                    dropped);
    }
    return STATUS_OK;
}

/* All ranks' events one behind the other, and what they say of themselves. */
static status_t gather(const timeline_t *timeline, said_t *all, char **events_out,
                       size_t *bytes_out) {
    comm_t *comm = timeline->trainer->comm;
    int ranks = comm_size(comm), rank = comm_rank(comm);
    size_t *lengths = alloc_zero(ranks, sizeof *lengths);
    size_t *offsets = alloc_zero(ranks + 1, sizeof *offsets);
    said_t mine = {timeline->begin_ns - ahead_ns(timeline), accuracy_ns(timeline),
                   trace_dropped(timeline->trainer->trace), 0};
    status_t status = comm_all_gather(comm, &mine, sizeof mine, all, "gather timeline");
    int64_t origin_ns = INT64_MAX;
    for (int r = 0; r < ranks; r++) {
        origin_ns = min_i64(origin_ns, all[r].begin_ns);
    }
    size_t bytes = 0;
    char *own = events_text(timeline, origin_ns + ahead_ns(timeline), &bytes);
    mine.bytes = (int64_t)bytes;
    if (status == STATUS_OK) {
        status = comm_all_gather(comm, &mine, sizeof mine, all, "gather timeline");
    }
    for (int r = 0; r < ranks; r++) {
        lengths[r] = (size_t)all[r].bytes;
        offsets[r + 1] = offsets[r] + lengths[r];
    }
    *bytes_out = offsets[ranks];
    *events_out = alloc_zero((int64_t)offsets[ranks] + 1, 1);
    if (status == STATUS_OK) {
        lengths[rank] = bytes;
        status = comm_all_gather_v(comm, own, *events_out, lengths, offsets, "gather timeline");
    }
    free(own);
    free(lengths);
    free(offsets);
    return status;
}

/* What goes wrong with the file alone is kept for the end: no training is given up for it. */
static status_t write_all(timeline_t *timeline) {
    comm_t *comm = timeline->trainer->comm;
    char *events = NULL;
    size_t bytes = 0;
    trace_stop(timeline->trainer->trace);
    timeline->state = DONE;
    TRY(measure(timeline, &timeline->after));
    said_t *all = alloc_zero(comm_size(comm), sizeof *all);
    status_t status = gather(timeline, all, &events, &bytes);
    if (status == STATUS_OK && comm_rank(comm) == 0) {
        timeline->written = write_file(timeline, all, events, bytes);
        timeline->why = timeline->written != STATUS_OK ? text_copy(status_text()) : NULL;
    }
    free(events);
    free(all);
    return status;
}

/* --- steps ----------------------------------------------------------------------------------- */

status_t timeline_step(timeline_t *timeline) {
    if (timeline == NULL || timeline->state == DONE) {
        return STATUS_OK;
    }
    int64_t step = timeline->trainer->progress.step + 1;
    if (step > timeline->last && timeline->state == RECORDS) {
        return write_all(timeline);
    }
    if (step >= timeline->first && step <= timeline->last && timeline->state == WAITS) {
        TRY(measure(timeline, &timeline->before));
        timeline->first = step;
        timeline->state = RECORDS;
        timeline->begin_ns = clock_ns();
        trace_start(timeline->trainer->trace);
    }
    return STATUS_OK;
}

status_t timeline_end(timeline_t *timeline) {
    if (timeline == NULL) {
        return STATUS_OK;
    }
    if (timeline->state == RECORDS) {
        TRY(write_all(timeline));
    } else if (timeline->state == WAITS) {
        log_warning("no timeline: steps %" PRId64 " to %" PRId64 " were not trained; "
                    "see --profile-steps",
                    timeline->first, timeline->last);
    }
    return timeline->written == STATUS_OK ? STATUS_OK
                                          : status_fail(timeline->written, "%s", timeline->why);
}
