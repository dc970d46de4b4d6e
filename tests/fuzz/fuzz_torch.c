/* A file of torch.save. Every tensor of what is accepted is read, or refused. */
#include <stdlib.h>

#include "data-sharding/torch_file.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static void read_all(torch_file_t *file, const pickle_value_t *value) {
    if (value->kind == PICKLE_ARRAY) {
        float *numbers = alloc_zero(value->u.array->count + 1, sizeof *numbers);
        (void)(torch_read(file, value->u.array, numbers) == STATUS_OK);
        free(numbers);
    } else if (value->kind == PICKLE_LIST || value->kind == PICKLE_TUPLE ||
               value->kind == PICKLE_DICT) {
        for (int64_t i = 0; i < value->u.list.count; i++) {
            read_all(file, value->u.list.items[i]);
        }
    }
}

bool fuzz_torch(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, "it.pt");
    fuzz_write(dir, "it.pt", data, bytes);
    torch_file_t *file = NULL;
    bool accepted = torch_open(path, &file) == STATUS_OK;
    if (accepted) {
        read_all(file, torch_root(file));
    }
    torch_close(file);
    free(path);
    fuzz_dir_remove(dir);
    return accepted;
}
