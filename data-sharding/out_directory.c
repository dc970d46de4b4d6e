#include "data-sharding/out_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

char *out_directory_name(const char *out) {
    char *plain = text_copy(out);
    for (size_t end = strlen(plain); end > 1 && plain[end - 1] == '/'; end--) {
        plain[end - 1] = '\0';
    }
    return plain;
}

status_t out_directory_check(const char *out) {
    if (file_exists(out)) {
        return status_fail(STATUS_INPUT, "%s is a file; give another --out", out);
    }
    if (dir_exists(out)) {
        char **names;
        int count;
        TRY(dir_list(out, &names, &count));
        names_free(names, count);
        if (count > 0) {
            return status_fail(STATUS_INPUT, "%s is not empty; give another --out or remove it",
                               out);
        }
    }
    return STATUS_OK;
}

status_t out_directory_publish(const char *aside, const char *out) {
    if (rename(aside, out) != 0) {
        return status_fail_errno(STATUS_FAILED, "cannot rename %s to %s", aside, out);
    }
    char *parent = text_format("%s/..", out);
    status_t status = dir_sync(parent);
    free(parent);
    return status;
}
