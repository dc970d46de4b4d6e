/* mirror.h - an array on the device and what the host sees of it: the same memory where the device
 * is the host, else a second one, brought up to date by read and write. */
#ifndef JMT_MIRROR_H
#define JMT_MIRROR_H

#include "kernels/device.h"

typedef struct mirror {
    const device_t *device;
    void *there; /* on the device */
    void *host;  /* for the host alone; pinned */
    bool owned;  /* `there` is the mirror's */
    size_t bytes;
} mirror_t;

/* Both zero. what: for the message where there is no room. */
status_t mirror_open(const device_t *device, size_t bytes, const char *what,
                     mirror_t *mirror_out) MUST_CHECK;
/* Of memory of the device that is somebody else's and outlives the mirror; read it first. */
status_t mirror_open_of(const device_t *device, void *there, size_t bytes, const char *what,
                        mirror_t *mirror_out) MUST_CHECK;
void mirror_close(mirror_t *mirror); /* of zeros: nothing */

/* bytes from `begin` on; read waits, write does not: before the host changes what it has written
 * something that was called later must have been waited for. */
void mirror_read_part(const mirror_t *mirror, size_t begin, size_t bytes);
void mirror_read(const mirror_t *mirror);
void mirror_write(const mirror_t *mirror);
void mirror_write_part(const mirror_t *mirror, size_t begin, size_t bytes);

#endif
