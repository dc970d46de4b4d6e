#include "data-sharding/steps_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/base/bytes.h"

enum {
    SPARES = 4,
    EXTENT_BYTES = 4 << 20,
    GRANT_BYTES = 1 << 16,
    AHEAD_BYTES = 1 << 20,
    PAGE_BYTES = 4096
};

typedef struct spare {
    char *data;
    int64_t bytes, asked;
} spare_t;

struct steps_store {
    char *dir, *label;     /* label: for errors */
    pthread_mutex_t lock;  /* of all below */
    int64_t memory;        /* bytes that files may still take */
    spare_t spare[SPARES]; /* of closed files, pages and all, for the next */
    int fd;                /* -1: nothing is on disk yet */
    int64_t end;           /* of what was ever used of it */
    int64_t *free;         /* extents that nobody uses any more */
    int64_t free_count;
};

struct steps_file {
    steps_store_t *store;
    int64_t step_bytes, count, room;
    uint8_t *valid;   /* [room] */
    char *memory;     /* all steps, unless they are in extents */
    int64_t granted;  /* bytes of memory */
    int64_t asked;    /* bytes of memory that the kernel was asked for */
    int64_t *extents; /* places of EXTENT_BYTES each in the store's file */
    int64_t extent_count;
    void *blank;    /* a step of zeros */
    sha256_t *hash; /* NULL: closed */
    char digest[SHA256_TEXT_BYTES];
};

/* --- the store ------------------------------------------------------------------------------- */

steps_store_t *steps_store_open(const char *dir, int64_t memory_bytes) {
    steps_store_t *store = alloc_zero(1, sizeof *store);
    store->dir = text_copy(dir);
    store->label = text_format("a file of pictures in %s", dir);
    store->memory = memory_bytes;
    store->fd = -1;
    REQUIRE(pthread_mutex_init(&store->lock, NULL) == 0);
    return store;
}

/* Under the lock. */
static void drop_spares(steps_store_t *store) {
    for (int i = 0; i < SPARES; i++) {
        free(store->spare[i].data);
        store->memory += store->spare[i].bytes;
        store->spare[i] = (spare_t){0};
    }
}

void steps_store_close(steps_store_t *store) {
    if (store != NULL) {
        if (store->fd >= 0) {
            close(store->fd);
        }
        drop_spares(store);
        pthread_mutex_destroy(&store->lock);
        free(store->free);
        free(store->label);
        free(store->dir);
        free(store);
    }
}

/* The largest. */
static spare_t take_spare(steps_store_t *store) {
    pthread_mutex_lock(&store->lock);
    int best = 0;
    for (int i = 1; i < SPARES; i++) {
        best = store->spare[i].bytes > store->spare[best].bytes ? i : best;
    }
    spare_t spare = store->spare[best];
    store->spare[best] = (spare_t){0};
    pthread_mutex_unlock(&store->lock);
    return spare;
}

static void give_spare(steps_store_t *store, spare_t spare) {
    pthread_mutex_lock(&store->lock);
    int place = 0;
    while (place < SPARES && store->spare[place].data != NULL) {
        place++;
    }
    if (place < SPARES) {
        store->spare[place] = spare;
    } else {
        free(spare.data);
        store->memory += spare.bytes;
    }
    pthread_mutex_unlock(&store->lock);
}

static bool take_memory(steps_store_t *store, int64_t bytes) {
    pthread_mutex_lock(&store->lock);
    if (store->memory < bytes) {
        drop_spares(store);
    }
    bool there = store->memory >= bytes;
    store->memory -= there ? bytes : 0;
    pthread_mutex_unlock(&store->lock);
    return there;
}

static status_t make_file(steps_store_t *store) {
    char *path = text_format("%s/.steps-XXXXXX", store->dir);
    int fd = mkstemp(path);
    status_t status = STATUS_OK;
    if (fd < 0 || unlink(path) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot make a file in %s", store->dir);
    }
    if (status != STATUS_OK && fd >= 0) {
        close(fd);
    }
    free(path);
    store->fd = status == STATUS_OK ? fd : -1;
    return status;
}

static status_t take_extent(steps_store_t *store, int64_t *at_out) {
    pthread_mutex_lock(&store->lock);
    status_t status = store->fd < 0 ? make_file(store) : STATUS_OK;
    if (status == STATUS_OK && store->free_count > 0) {
        *at_out = store->free[--store->free_count];
    } else if (status == STATUS_OK) {
        *at_out = store->end;
        store->end += EXTENT_BYTES;
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static void give_extents(steps_store_t *store, const int64_t *extents, int64_t count) {
    pthread_mutex_lock(&store->lock);
    for (int64_t i = 0; i < count; i++) {
        store->free = array_grow(store->free, store->free_count, sizeof *store->free);
        store->free[store->free_count++] = extents[i];
    }
    pthread_mutex_unlock(&store->lock);
}

/* --- a file ---------------------------------------------------------------------------------- */

steps_file_t *steps_file_open(steps_store_t *store, int64_t step_bytes) {
    steps_file_t *file = alloc_zero(1, sizeof *file);
    file->store = store;
    file->step_bytes = step_bytes;
    file->blank = alloc_zero(step_bytes, 1);
    file->hash = sha256_open();
    return file;
}

static void drop_memory(steps_file_t *file) {
    if (file->memory != NULL) {
        give_spare(file->store, (spare_t){file->memory, file->granted, file->asked});
    }
    file->memory = NULL;
    file->granted = file->asked = 0;
}

void steps_file_close(steps_file_t *file) {
    if (file != NULL) {
        if (file->hash != NULL) {
            sha256_close(file->hash, NULL);
        }
        drop_memory(file);
        give_extents(file->store, file->extents, file->extent_count);
        free(file->extents);
        free(file->blank);
        free(file->valid);
        free(file);
    }
}

/* Where byte `offset` of a file on disk lies, and how many of `bytes` follow it there. */
static int64_t place_of(const steps_file_t *file, int64_t offset, int64_t bytes, int64_t *part) {
    int64_t within = offset % EXTENT_BYTES;
    *part = min_i64(bytes, EXTENT_BYTES - within);
    return file->extents[offset / EXTENT_BYTES] + within;
}

static status_t put_on_disk(steps_file_t *file, int64_t offset, int64_t bytes, const char *data) {
    while (file->extent_count * EXTENT_BYTES < offset + bytes) {
        int64_t at = 0;
        TRY(take_extent(file->store, &at));
        file->extents = array_grow(file->extents, file->extent_count, sizeof *file->extents);
        file->extents[file->extent_count++] = at;
    }
    for (int64_t done = 0, part = 0; done < bytes; done += part) {
        int64_t at = place_of(file, offset + done, bytes - done, &part);
        TRY(file_pwrite(file->store->fd, file->store->label, at, part, data + done));
    }
    return STATUS_OK;
}

static status_t get_from_disk(const steps_file_t *file, int64_t offset, int64_t bytes, char *out) {
    for (int64_t done = 0, part = 0; done < bytes; done += part) {
        int64_t at = place_of(file, offset + done, bytes - done, &part);
        TRY(file_pread(file->store->fd, file->store->label, at, part, out + done));
    }
    return STATUS_OK;
}

/* Asked for a megabyte at once, pages cost less than one by one. Not all kernels can. */
static void ask_ahead(steps_file_t *file, int64_t want) {
#ifdef MADV_POPULATE_WRITE
    if (want > file->asked) {
        int64_t to = min_i64(max_i64(want, file->asked + AHEAD_BYTES), file->granted);
        uintptr_t begin =
            (uintptr_t)align_up((int64_t)(uintptr_t)(file->memory + file->asked), PAGE_BYTES);
        uintptr_t end = (uintptr_t)(file->memory + to) / PAGE_BYTES * PAGE_BYTES;
        if (end > begin && madvise((void *)begin, end - begin, MADV_POPULATE_WRITE) != 0) {
            to = file->granted;
        }
        file->asked = to;
    }
#else
    (void)file, (void)want;
#endif
}

/* Room for one more step in memory; false: there is none. */
static bool has_room(steps_file_t *file) {
    int64_t want = (file->count + 1) * file->step_bytes;
    if (file->extent_count > 0) {
        return false;
    }
    if (file->memory == NULL) {
        spare_t spare = take_spare(file->store);
        file->memory = spare.data;
        file->granted = spare.bytes;
        file->asked = spare.asked;
    }
    if (want <= file->granted) {
        ask_ahead(file, want);
        return true;
    }
    int64_t more = max_i64(align_up(want - file->granted, GRANT_BYTES), file->granted);
    if (!take_memory(file->store, more)) {
        return false;
    }
    file->granted += more;
    file->memory = realloc(file->memory, (size_t)file->granted);
    REQUIRE(file->memory != NULL);
    ask_ahead(file, want);
    return true;
}

static status_t put(steps_file_t *file, const void *step) {
    int64_t at = file->count * file->step_bytes;
    if (has_room(file)) {
        memcpy(file->memory + at, step, (size_t)file->step_bytes);
        return STATUS_OK;
    }
    if (file->memory != NULL) {
        TRY(put_on_disk(file, 0, at, file->memory));
        drop_memory(file);
    }
    return put_on_disk(file, at, file->step_bytes, step);
}

static status_t add_one(steps_file_t *file, const void *step, bool valid) {
    if (file->count == file->room) {
        file->room = max_i64(2 * file->room, 1024);
        file->valid = realloc(file->valid, (size_t)file->room);
        REQUIRE(file->valid != NULL);
    }
    TRY(put(file, step));
    sha256_add(file->hash, step, (size_t)file->step_bytes);
    file->valid[file->count++] = valid;
    return STATUS_OK;
}

status_t steps_file_add(steps_file_t *file, const void *step, int64_t count) {
    REQUIRE(file->hash != NULL && (step == NULL || count == 1));
    for (int64_t i = 0; i < count; i++) {
        TRY(add_one(file, step == NULL ? file->blank : step, step != NULL));
    }
    return STATUS_OK;
}

int64_t steps_file_count(const steps_file_t *file) { return file->count; }

int64_t steps_file_step_bytes(const steps_file_t *file) { return file->step_bytes; }

const uint8_t *steps_file_valid(const steps_file_t *file) { return file->valid; }

status_t steps_file_read(const steps_file_t *file, int64_t first, int64_t steps, void *out) {
    REQUIRE(first >= 0 && steps >= 0 && first + steps <= file->count);
    int64_t at = first * file->step_bytes, bytes = steps * file->step_bytes;
    if (file->extent_count > 0) {
        return get_from_disk(file, at, bytes, out);
    }
    if (bytes > 0) {
        memcpy(out, file->memory + at, (size_t)bytes);
    }
    return STATUS_OK;
}

status_t steps_file_view(const steps_file_t *file, int64_t first, int64_t steps, void *buffer,
                         const void **data_out) {
    bool in_memory = file->extent_count == 0;
    *data_out = in_memory ? file->memory + first * file->step_bytes : buffer;
    return in_memory ? STATUS_OK : steps_file_read(file, first, steps, buffer);
}

void steps_file_trim(steps_file_t *file) {
    int64_t used = align_up(file->count * file->step_bytes, GRANT_BYTES);
    if (file->memory != NULL && used < file->granted) {
        file->memory = realloc(file->memory, (size_t)used);
        REQUIRE(file->memory != NULL);
        pthread_mutex_lock(&file->store->lock);
        file->store->memory += file->granted - used;
        pthread_mutex_unlock(&file->store->lock);
        file->granted = used;
        file->asked = min_i64(file->asked, used);
    }
}

void steps_file_hash(steps_file_t *file, char text_out[SHA256_TEXT_BYTES]) {
    if (file->hash != NULL) {
        sha256_close(file->hash, file->digest);
        file->hash = NULL;
    }
    memcpy(text_out, file->digest, SHA256_TEXT_BYTES);
}
