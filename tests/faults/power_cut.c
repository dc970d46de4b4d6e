/* power_cut.c - loaded before the C library (LD_PRELOAD): the program dies right before its
 * POWER_CUT-th call that opens for writing, syncs, renames, links or removes; what it had written
 * and not synced loses its second half, as in a power cut. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNSYNCED_MAX = 64 };

static int unsynced[UNSYNCED_MAX]; /* descriptors of our own: names change */
static int unsynced_count;
static long calls;

static void lose_unsynced(void) {
    for (int i = 0; i < unsynced_count; i++) {
        struct stat info;
        if (fstat(unsynced[i], &info) != 0 || ftruncate(unsynced[i], info.st_size / 2) != 0) {
            _exit(99);
        }
    }
}

static void count_call(void) {
    const char *limit = getenv("POWER_CUT");
    if (limit != NULL && ++calls == strtol(limit, NULL, 10)) {
        lose_unsynced();
        kill(getpid(), SIGKILL);
    }
}

/* ISO C has no cast from an object pointer to a function pointer. */
#define NEXT(name, type)                                                                           \
    union {                                                                                        \
        void *object;                                                                              \
        type function;                                                                             \
    } name##_next = {.object = dlsym(RTLD_NEXT, #name)}

typedef int open_fn(const char *, int, ...);
typedef int fsync_fn(int);
typedef int path_fn(const char *);
typedef int two_paths_fn(const char *, const char *);
typedef int renameat2_fn(int, const char *, int, const char *, unsigned);

int open(const char *path, int flags, ...) {
    NEXT(open, open_fn *);
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (writes) {
        count_call();
    }
    int fd = open_next.function(path, flags, mode);
    if (writes && fd >= 0 && unsynced_count < UNSYNCED_MAX) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        struct stat info;
        if (own >= 0 && fstat(own, &info) == 0 && S_ISREG(info.st_mode)) {
            unsynced[unsynced_count++] = own;
        }
    }
    return fd;
}

int fsync(int fd) {
    NEXT(fsync, fsync_fn *);
    struct stat synced, other;
    count_call();
    if (fstat(fd, &synced) == 0) {
        for (int i = unsynced_count - 1; i >= 0; i--) {
            if (fstat(unsynced[i], &other) == 0 && other.st_ino == synced.st_ino) {
                close(unsynced[i]);
                unsynced[i] = unsynced[--unsynced_count];
            }
        }
    }
    return fsync_next.function(fd);
}

int rename(const char *from, const char *to) {
    NEXT(rename, two_paths_fn *);
    count_call();
    return rename_next.function(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    NEXT(renameat2, renameat2_fn *);
    count_call();
    return renameat2_next.function(from_dir, from, to_dir, to, flags);
}

int symlink(const char *target, const char *path) {
    NEXT(symlink, two_paths_fn *);
    count_call();
    return symlink_next.function(target, path);
}

int unlink(const char *path) {
    NEXT(unlink, path_fn *);
    count_call();
    return unlink_next.function(path);
}
