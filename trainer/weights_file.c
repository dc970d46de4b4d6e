#include "trainer/weights_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/torch_file.h"
#include "kernels/base/bytes.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_format.h"
#include "trainer/export.h"

typedef struct entry {
    char *name;
    const tensor_t *tensor;      /* NULL: of PyTorch, */
    const pickle_array_t *array; /* this */
} entry_t;

struct weights_file {
    checkpoint_t checkpoint;
    tensor_set_t set;
    torch_file_t *torch;
    entry_t *entries;
    int count;
    char *format, *trained_on;
    bool ours;
    char sha256[SHA256_TEXT_BYTES];
};

static void add(weights_file_t *file, char *name, const tensor_t *tensor,
                const pickle_array_t *array) {
    file->entries = array_grow(file->entries, file->count, sizeof *file->entries);
    file->entries[file->count++] = (entry_t){name, tensor, array};
}

/* --- ours ------------------------------------------------------------------------------------ */

static status_t open_checkpoint(weights_file_t *file, const char *path) {
    char *directory = NULL;
    TRY(checkpoint_resolve(path, &directory));
    char *manifest = text_format("%s/" MANIFEST_FILE, directory);
    status_t status = checkpoint_read(directory, &file->checkpoint);
    status = status == STATUS_OK ? sha256_file(manifest, file->sha256) : status;
    free(manifest);
    free(directory);
    TRY(status);
    const checkpoint_t *c = &file->checkpoint;
    for (int i = 0; i < c->tensors.count; i++) {
        const char *name = export_weight_name(&c->tensors.tensors[i]);
        if (name != NULL) {
            add(file, text_copy(name), &c->tensors.tensors[i], NULL);
        }
    }
    file->format = text_format("checkpoint of step %lld", (long long)c->progress.step);
    file->trained_on = text_copy(c->trained_on);
    file->ours = true;
    return STATUS_OK;
}

static status_t open_safetensors(weights_file_t *file, const char *path) {
    TRY(safetensors_read(path, &file->set));
    json_t *metadata = file->set.metadata != NULL ? json_loads(file->set.metadata, 0, NULL) : NULL;
    const json_t *said = json_object_get(metadata, "trained_on");
    const char *people = json_string_value(said);
    json_t *read = people != NULL ? json_loads(people, 0, NULL) : NULL;
    bool damaged = said != NULL && !json_is_object(read);
    file->trained_on = text_copy(people != NULL ? people : "");
    file->ours = json_object_get(metadata, "creation_order") != NULL;
    json_decref(read);
    json_decref(metadata);
    if (damaged) {
        return status_fail(STATUS_INPUT,
                           "%s: trained_on in its metadata is damaged; export it again", path);
    }
    for (int i = 0; i < file->set.count; i++) {
        const tensor_t *tensor = &file->set.tensors[i];
        if (strncmp(tensor->name, "optimizer/", 10) != 0) {
            add(file, text_copy(tensor->name), tensor, NULL);
        }
    }
    file->format = text_copy("safetensors file");
    return STATUS_OK;
}

/* --- PyTorch's ------------------------------------------------------------------------------- */

static bool holds_tensors(const pickle_value_t *dict) {
    for (int64_t i = 0; dict != NULL && dict->kind == PICKLE_DICT && i < dict->u.list.count;
         i += 2) {
        if (dict->u.list.items[i]->kind == PICKLE_TEXT &&
            dict->u.list.items[i + 1]->kind == PICKLE_ARRAY) {
            return true;
        }
    }
    return false;
}

/* Under a name that training scripts give it, else the dict itself. */
static const pickle_value_t *state_dict_of(const pickle_value_t *root, const char **under_out) {
    static const char *const names[] = {"state_dict", "model_state_dict", "model_state", "model",
                                        "net",        "weights",          "params"};
    *under_out = NULL;
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        const pickle_value_t *inner = pickle_find(root, names[i]);
        if (holds_tensors(inner)) {
            *under_out = names[i];
            return inner;
        }
    }
    return holds_tensors(root) ? root : NULL;
}

static status_t open_torch(weights_file_t *file, const char *path) {
    TRY(torch_open(path, &file->torch));
    const char *under = NULL;
    const pickle_value_t *dict = state_dict_of(torch_root(file->torch), &under);
    for (int64_t i = 0; dict != NULL && i < dict->u.list.count; i += 2) {
        const pickle_value_t *key = dict->u.list.items[i], *value = dict->u.list.items[i + 1];
        if (key->kind == PICKLE_TEXT && value->kind == PICKLE_ARRAY &&
            number_type_known(value->u.array->type)) {
            pickle_text_t name = key->u.text;
            add(file, text_format("%.*s", (int)min_i64(name.bytes, 1 << 12), name.data), NULL,
                value->u.array);
        }
    }
    file->format = text_format("PyTorch file%s%s", under != NULL ? ", under " : "",
                               under != NULL ? under : "");
    file->trained_on = text_copy("");
    return STATUS_OK;
}

/* --- all ------------------------------------------------------------------------------------- */

/* By four bytes that would make a header of safetensors larger than any. */
static status_t is_torch(const char *path, bool *torch_out) {
    FILE *stream = NULL;
    char head[4] = "";
    TRY(file_open(path, &stream));
    size_t bytes = fread(head, 1, sizeof head, stream);
    fclose(stream);
    *torch_out = bytes == sizeof head && (memcmp(head, "PK\3\4", sizeof head) == 0 ||
                                          memcmp(head, "\x80\2\x8a\n", sizeof head) == 0);
    return STATUS_OK;
}

static status_t open_any(weights_file_t *file, const char *path) {
    bool torch = false;
    if (dir_exists(path)) {
        return open_checkpoint(file, path);
    }
    TRY(is_torch(path, &torch));
    TRY(sha256_file(path, file->sha256));
    return torch ? open_torch(file, path) : open_safetensors(file, path);
}

status_t weights_open(const char *path, weights_file_t **file_out) {
    weights_file_t *file = alloc_zero(1, sizeof *file);
    status_t status = open_any(file, path);
    if (status == STATUS_OK && file->count == 0) {
        status = status_fail(STATUS_INPUT,
                             "%s: no tensors by name in it; save the model's state_dict()", path);
    }
    if (status != STATUS_OK) {
        weights_close(file);
        return status;
    }
    *file_out = file;
    return STATUS_OK;
}

void weights_close(weights_file_t *file) {
    if (file == NULL) {
        return;
    }
    for (int i = 0; i < file->count; i++) {
        free(file->entries[i].name);
    }
    free(file->entries);
    free(file->format);
    free(file->trained_on);
    torch_close(file->torch);
    tensor_set_free(&file->set);
    checkpoint_free(&file->checkpoint);
    free(file);
}

int weights_count(const weights_file_t *file) { return file->count; }

weights_info_t weights_info(const weights_file_t *file, int index) {
    const entry_t *e = &file->entries[index];
    return e->tensor != NULL
               ? (weights_info_t){e->name, e->tensor->rank, e->tensor->dims,
                                  tensor_count(e->tensor)}
               : (weights_info_t){e->name, e->array->rank, e->array->dims, e->array->count};
}

int weights_find(const weights_file_t *file, const char *name) {
    for (int i = 0; i < file->count; i++) {
        if (strcmp(file->entries[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

status_t weights_read(weights_file_t *file, int index, float *out) {
    const entry_t *e = &file->entries[index];
    if (e->tensor == NULL) {
        return torch_read(file->torch, e->array, out);
    }
    tensor_floats(e->tensor, out);
    return STATUS_OK;
}

const char *weights_format(const weights_file_t *file) { return file->format; }
bool weights_are_ours(const weights_file_t *file) { return file->ours; }
const char *weights_trained_on(const weights_file_t *file) { return file->trained_on; }
const char *weights_sha256(const weights_file_t *file) { return file->sha256; }
