#include "trainer/mirror.h"

status_t mirror_open_of(const device_t *device, void *there, size_t bytes, const char *what,
                        mirror_t *mirror_out) {
    mirror_t mirror = {.device = device, .there = there, .host = there, .bytes = bytes};
    if (!device->host) {
        TRY(device->alloc_pinned(device, bytes, what, &mirror.host));
    }
    *mirror_out = mirror;
    return STATUS_OK;
}

status_t mirror_open(const device_t *device, size_t bytes, const char *what, mirror_t *mirror_out) {
    void *there = NULL;
    TRY(device->alloc(device, bytes, what, &there));
    status_t status = mirror_open_of(device, there, bytes, what, mirror_out);
    if (status != STATUS_OK) {
        device->release(device, there);
        return status;
    }
    mirror_out->owned = true;
    return STATUS_OK;
}

void mirror_close(mirror_t *mirror) {
    const device_t *device = mirror->device;
    if (device != NULL && !device->host) {
        device->release_pinned(device, mirror->host);
    }
    if (mirror->owned) {
        device->release(device, mirror->there);
    }
    *mirror = (mirror_t){0};
}

void mirror_read_part(const mirror_t *mirror, size_t begin, size_t bytes) {
    if (mirror->host != mirror->there) {
        mirror->device->copy_out(mirror->device, (char *)mirror->host + begin,
                                 (const char *)mirror->there + begin, bytes);
    }
}

void mirror_read(const mirror_t *mirror) { mirror_read_part(mirror, 0, mirror->bytes); }

void mirror_write_part(const mirror_t *mirror, size_t begin, size_t bytes) {
    if (mirror->host != mirror->there) {
        mirror->device->copy_in(mirror->device, (char *)mirror->there + begin,
                                (const char *)mirror->host + begin, bytes);
    }
}

void mirror_write(const mirror_t *mirror) { mirror_write_part(mirror, 0, mirror->bytes); }
