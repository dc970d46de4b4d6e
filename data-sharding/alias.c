#include "data-sharding/alias.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"

char **alias_deal(const char *salt, int64_t count) {
    int64_t *order = alloc_zero(max_i64(count, 1), sizeof *order);
    rng_permutation((rng_key_t){rng_name(salt), rng_name("alias"), 0}, count, order);
    char **aliases = alloc_zero(max_i64(count, 1), sizeof *aliases);
    for (int64_t i = 0; i < count; i++) {
        aliases[i] = text_format("s%04lld", (long long)order[i] + 1);
    }
    free(order);
    return aliases;
}

void key_id(const char *salt, const char *const *subjects, int64_t count,
            char id_out[SHA256_TEXT_BYTES]) {
    sha256_t *hash = sha256_open();
    sha256_add(hash, salt, strlen(salt) + 1);
    for (int64_t i = 0; i < count; i++) {
        sha256_add(hash, subjects[i], strlen(subjects[i]) + 1);
    }
    sha256_close(hash, id_out);
}

char *alias_replace(const char *text, const char *subject, const char *alias) {
    size_t bytes = strlen(subject);
    char *result = text_copy(text);
    size_t from = 0;
    while (bytes > 0) {
        char *hit = strstr(result + from, subject);
        if (hit == NULL) {
            break;
        }
        bool starts = hit == result || !isalnum((unsigned char)hit[-1]);
        bool ends = !isalnum((unsigned char)hit[bytes]);
        from = (size_t)(hit - result) + 1;
        if (starts && ends) {
            int head = (int)(hit - result);
            char *next = text_format("%.*s%s%s", head, result, alias, hit + bytes);
            free(result);
            result = next;
            from = (size_t)head + strlen(alias);
        }
    }
    return result;
}

/* Never readable by others, not even for a moment. */
static status_t write_private(const char *path, const char *text) {
    char *aside = text_format("%s.tmp", path);
    unlink(aside);
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    status_t status = STATUS_OK;
    size_t bytes = strlen(text);
    if (fd < 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot create key file %s", aside);
    } else {
        if (write(fd, text, bytes) != (ssize_t)bytes || fsync(fd) != 0) {
            status = status_fail_errno(STATUS_FAILED, "cannot write key file %s", aside);
        }
        close(fd);
        if (status == STATUS_OK && rename(aside, path) != 0) {
            status = status_fail_errno(STATUS_FAILED, "cannot write key file %s", path);
        }
        if (status != STATUS_OK) {
            unlink(aside);
        }
    }
    free(aside);
    return status;
}

static status_t write_key(const char *path, json_t *root) {
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (text == NULL) {
        return status_fail(STATUS_INPUT, "cannot write key file %s: a name is not valid UTF-8",
                           path);
    }
    status_t status = write_private(path, text);
    free(text);
    return status;
}

/* Names by aliases, none of them empty. */
static bool is_map(const json_t *aliases) {
    bool good = json_is_object(aliases);
    const char *alias;
    json_t *name;
    json_object_foreach((json_t *)aliases, alias, name) {
        good = good && alias[0] != '\0' && json_is_string(name);
    }
    return good;
}

static status_t read_key(const char *path, json_t **root_out) {
    char *text;
    size_t bytes;
    TRY(file_read(path, &text, &bytes));
    json_t *root = json_loadb(text, bytes, 0, NULL);
    free(text);
    const char *format = json_string_value(json_object_get(root, "format"));
    if (format == NULL || strcmp(format, "jmt-key") != 0 ||
        !is_map(json_object_get(root, "aliases"))) {
        json_decref(root);
        return status_fail(STATUS_INPUT,
                           "%s: not a key file; give the one that jmt shard wrote beside the data",
                           path);
    }
    *root_out = root;
    return STATUS_OK;
}

status_t key_write(const char *path, const char *salt, const char *const *subjects,
                   char *const *aliases, int64_t count) {
    json_t *map = json_object();
    for (int64_t i = 0; i < count; i++) {
        json_object_set_new(map, aliases[i], json_string(subjects[i]));
    }
    char id[SHA256_TEXT_BYTES];
    key_id(salt, subjects, count, id);
    json_t *root = json_pack("{s:s, s:i, s:s, s:s, s:o}", "format", "jmt-key", "version", 1, "id",
                             id, "salt", salt, "aliases", map);
    if (root == NULL) {
        return status_fail(STATUS_INPUT, "cannot write key file %s: a name is not valid UTF-8",
                           path);
    }
    status_t status = STATUS_OK;
    if (file_exists(path)) {
        json_t *old = NULL;
        status = read_key(path, &old);
        if (status != STATUS_OK || !json_equal(old, root)) {
            status = status_fail(STATUS_INPUT,
                                 "key file %s is there already and holds other names; move it away",
                                 path);
        }
        json_decref(old);
    }
    if (status == STATUS_OK) {
        status = write_key(path, root);
    }
    json_decref(root);
    return status;
}

static const char *alias_of(const json_t *root, const char *subject) {
    const char *alias;
    json_t *name;
    json_object_foreach(json_object_get(root, "aliases"), alias, name) {
        if (json_is_string(name) && strcmp(json_string_value(name), subject) == 0) {
            return alias;
        }
    }
    return NULL;
}

status_t key_find(const char *path, const char *id, const char *subject, char **alias_out) {
    json_t *root;
    TRY(read_key(path, &root));
    const char *own = json_string_value(json_object_get(root, "id"));
    const char *alias = alias_of(root, subject);
    status_t status = STATUS_OK;
    if (own == NULL || strcmp(own, id) != 0) {
        status = status_fail(
            STATUS_INPUT, "%s: the key file of other data; give the one that was written with it",
            path);
    } else if (alias == NULL) {
        status = status_fail(STATUS_INPUT, "%s: no subject named \"%s\"; look at its aliases", path,
                             subject);
    } else {
        *alias_out = text_copy(alias);
    }
    json_decref(root);
    return status;
}

status_t key_remove(const char *path, const char *subject) {
    json_t *root;
    TRY(read_key(path, &root));
    const char *alias = alias_of(root, subject);
    status_t status = STATUS_OK;
    bool there = alias != NULL;
    while (alias != NULL) { /* more than one only where someone edited the file */
        char *name = text_copy(alias);
        json_object_del(json_object_get(root, "aliases"), name);
        free(name);
        alias = alias_of(root, subject);
    }
    if (there) {
        status = write_key(path, root);
    }
    json_decref(root);
    return status;
}
