#include "data-sharding/import_journal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

status_t journal_write(const char *dir, const import_journal_t *journal) {
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I}", "key", journal->key, "items", (json_int_t)journal->items,
                  "added", (json_int_t)journal->added, "shards", (json_int_t)journal->shards);
    char *text = json_dumps(root, JSON_COMPACT), *path = text_format("%s/" JOURNAL_NAME, dir);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    free(text);
    json_decref(root);
    return status;
}

void journal_read(const char *dir, const char *key, import_journal_t *journal_out) {
    char *path = text_format("%s/" JOURNAL_NAME, dir);
    json_t *root = file_exists(path) ? json_load_file(path, 0, NULL) : NULL;
    import_journal_t journal = {.items = json_integer_value(json_object_get(root, "items")),
                                .added = json_integer_value(json_object_get(root, "added")),
                                .shards = json_integer_value(json_object_get(root, "shards"))};
    const char *whose = json_string_value(json_object_get(root, "key"));
    bool same = whose != NULL && strcmp(whose, key) == 0 && journal.items > 0 &&
                journal.added > 0 && journal.added <= journal.items && journal.shards > 0;
    *journal_out = same ? journal : (import_journal_t){0};
    memcpy(journal_out->key, key, strlen(key) + 1);
    json_decref(root);
    free(path);
}
