#include "trainer/weights_init.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/trained_on.h"
#include "trainer/weights_origin.h"
#include "trainer/weights_names.h"

enum { NAMES_SHOWN = 3, CHANNELS_MEAN = 3 };
static const char model_name[] = "model";

/* The first few of some names, and how many there are. */
typedef struct listing {
    char *text;
    int count;
} listing_t;

static void list(listing_t *listing, const char *name) {
    if (listing->count < NAMES_SHOWN) {
        const char *before = listing->text != NULL ? listing->text : "";
        char *longer = text_format("%s%s%s", before, before[0] != '\0' ? ", " : "", name);
        free(listing->text);
        listing->text = longer;
    }
    listing->count++;
}

/* "2 missing: a, b" */
static char *said(const listing_t *listing, const char *what) {
    return listing->count == 0 ? text_copy("")
                               : text_format("%d %s: %s%s; ", listing->count, what, listing->text,
                                             listing->count > NAMES_SHOWN ? ", ..." : "");
}

/* One setting init.NAME while it is applied. */
typedef struct filling {
    const config_t *config;
    const init_config_t *init;
    char *path;
    weights_file_t *file;
    bool *used; /* tensors of the file */
    int filled;
    bool backbone; /* the modality has one: all that a foreign file must have */
    listing_t missing, misshapen, averaged, seeded;
} filling_t;

/* --- which parameters ------------------------------------------------------------------------ */

static bool is_part(const char *modality, const char *part, const char *parameter) {
    name_t prefix = name_of("%s.%s.", modality, part);
    return strncmp(parameter, prefix.text, strlen(prefix.text)) == 0;
}

static bool is_backbone(const char *modality, const char *parameter) {
    return is_part(modality, "backbone", parameter);
}

static bool is_front_end(const char *modality, const char *parameter) {
    return is_backbone(modality, parameter) || is_part(modality, "front", parameter) ||
           is_part(modality, "intra", parameter);
}

static bool is_whole(const init_config_t *init) { return strcmp(init->name, model_name) == 0; }

/* Whether this setting fills a parameter of that name. */
static bool fills(const config_t *config, const init_config_t *init, const char *parameter) {
    if (!is_whole(init)) {
        return is_front_end(init->name, parameter);
    }
    for (int i = 0; i < config->init_count; i++) {
        if (!is_whole(&config->init[i]) && is_front_end(config->init[i].name, parameter)) {
            return false;
        }
    }
    return true;
}

/* --- one parameter --------------------------------------------------------------------------- */

/* Without windows of size 1, which change nothing about the order of the numbers. */
static int squeezed(int rank, const int64_t *dims, int64_t out[TENSOR_RANK_MAX]) {
    int count = 0;
    for (int d = 0; d < rank; d++) {
        if (d < 2 || dims[d] != 1) {
            out[count++] = dims[d];
        }
    }
    return count;
}

bool weights_fit(const float *from, int rank, const int64_t *dims, float *to, int to_rank,
                 const int64_t *to_dims, bool *mean_out) {
    int64_t a[TENSOR_RANK_MAX], b[TENSOR_RANK_MAX], inner = 1;
    int a_rank = squeezed(rank, dims, a), b_rank = squeezed(to_rank, to_dims, b);
    bool same = a_rank == b_rank;
    for (int d = 0; d < a_rank && same; d++) {
        same = d == 1 || a[d] == b[d];
        inner *= d > 1 ? a[d] : 1;
    }
    int64_t columns = a_rank > 1 ? a[1] : 1, rows = a_rank > 0 ? a[0] : 1;
    *mean_out = same && a_rank > 2 && columns == CHANNELS_MEAN && b[1] == 1;
    if (!same || (!*mean_out && a_rank > 1 && a[1] != b[1])) {
        return false;
    }
    for (int64_t i = 0; i < rows * (*mean_out ? 1 : columns) * inner; i++) {
        const float *at = from + (i / inner) * CHANNELS_MEAN * inner + i % inner;
        to[i] = *mean_out ? (float)(((double)at[0] + at[inner] + at[2 * inner]) / CHANNELS_MEAN)
                          : from[i];
    }
    return true;
}

static name_t shape_text(int rank, const int64_t *dims) {
    name_t text = name_of("[");
    for (int d = 0; d < rank; d++) {
        text = name_of("%s%s%lld", text.text, d > 0 ? "," : "", (long long)dims[d]);
    }
    return name_of("%s]", text.text);
}

static int find(const filling_t *f, const char *parameter) {
    name_t names[WEIGHTS_NAMES_MAX];
    int count = weights_names(f->config, is_whole(f->init) ? "" : f->init->name, parameter, names);
    for (int i = 0; i < count; i++) {
        int found = weights_find(f->file, names[i].text);
        if (found < 0) { /* of a model that was trained on several GPUs */
            found = weights_find(f->file, name_of("module.%s", names[i].text).text);
        }
        if (found >= 0) {
            return found;
        }
    }
    return -1;
}

static status_t fill(filling_t *f, const parameter_info_t *info, float *out) {
    int index = find(f, info->name);
    if (index < 0) {
        bool others = f->backbone && !weights_are_ours(f->file);
        bool may_miss = others && !is_backbone(f->init->name, info->name);
        list(may_miss ? &f->seeded : &f->missing, info->name);
        return STATUS_OK;
    }
    weights_info_t there = weights_info(f->file, index);
    float *numbers = alloc_aligned((size_t)there.count * sizeof *numbers);
    bool mean = false;
    status_t status = weights_read(f->file, index, numbers);
    if (status == STATUS_OK &&
        !weights_fit(numbers, there.rank, there.dims, out, info->rank, info->dims, &mean)) {
        list(&f->misshapen,
             name_of("%s is %s, not %s", info->name, shape_text(there.rank, there.dims).text,
                     shape_text(info->rank, info->dims).text)
                 .text);
    } else if (mean) {
        list(&f->averaged, info->name);
    }
    free(numbers);
    f->used[index] = true;
    f->filled++;
    return status;
}

/* --- one file -------------------------------------------------------------------------------- */

/* Unused tensors: of our own files those of the same part, which a model that fits would use; of
 * foreign ones all. */
static listing_t unused(const filling_t *f) {
    listing_t rest = {0};
    for (int i = 0; i < weights_count(f->file); i++) {
        const char *name = weights_info(f->file, i).name;
        if (!f->used[i] && (!weights_are_ours(f->file) || fills(f->config, f->init, name))) {
            list(&rest, name);
        }
    }
    return rest;
}

static status_t judge(const filling_t *f, const listing_t *rest) {
    const char *name = f->init->name, *path = f->path;
    bool ours = weights_are_ours(f->file);
    if (f->filled == 0 && f->missing.count == 0) {
        return status_fail(STATUS_INPUT,
                           "init.%s has no effect: %s has no parameters before the fusion (no "
                           "front, no backbone); remove it",
                           name, name);
    }
    if (f->missing.count + f->misshapen.count + (ours ? rest->count : 0) == 0) {
        return STATUS_OK;
    }
    char *missing = said(&f->missing, "missing"), *shape = said(&f->misshapen, "of another shape");
    char *more = said(rest, ours ? "unexpected" : "not used");
    status_t status = status_fail(STATUS_INPUT,
                                  "init.%s: %s (%s) does not fit %s: %s%s%sgive weights of the "
                                  "same kind and width",
                                  name, path, weights_format(f->file),
                                  is_whole(f->init) ? "the model" : "that part of the model",
                                  missing, shape, more);
    free(missing);
    free(shape);
    free(more);
    return status;
}

static void note(weights_origin_t *origin, char *line) {
    char *longer = text_format("%s%s\n", origin->notes, line);
    free(origin->notes);
    free(line);
    origin->notes = longer;
}

static void note_all(weights_origin_t *origin, const filling_t *f, const listing_t *rest) {
    const char *name = f->init->name, *people = weights_trained_on(f->file);
    note(origin,
         text_format("init.%s: %d tensors of %s (%s)%s", name, f->filled, f->path,
                     weights_format(f->file),
                     people[0] != '\0' ? "" : ", which does not say who it was trained on"));
    if (f->averaged.count > 0) {
        note(origin, text_format("init.%s: %s: 3 input channels became their mean", name,
                                 f->averaged.text));
    }
    if (f->seeded.count > 0) {
        note(origin,
             text_format("init.%s: not in the file, so left as the seed made it: %s%s", name,
                         f->seeded.text, f->seeded.count > NAMES_SHOWN ? ", ..." : ""));
    }
    if (rest->count > 0) {
        note(origin,
             text_format("init.%s: %d tensors of the file are not used: %s%s", name, rest->count,
                         rest->text, rest->count > NAMES_SHOWN ? ", ..." : ""));
    }
}

static void record(weights_origin_t *origin, const filling_t *f) {
    json_t *files = json_loads(origin->files, 0, NULL);
    json_object_set_new(files, f->init->name,
                        json_pack("{s:s, s:s, s:s}", "file", f->path, "sha256",
                                  weights_sha256(f->file), "format", weights_format(f->file)));
    free(origin->files);
    origin->files = json_dumps(files, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(files);
    char *joined = trained_on_join(origin->trained_on, weights_trained_on(f->file));
    free(origin->trained_on);
    origin->trained_on = joined;
}

static status_t fill_all(filling_t *f, const graph_t *graph, const int64_t *offsets, float *weights,
                         weights_origin_t *origin) {
    for (int p = 0; p < graph_parameter_count(graph) && !is_whole(f->init); p++) {
        const char *name = graph_parameter_info(graph, p).name;
        f->backbone = f->backbone || is_backbone(f->init->name, name);
    }
    for (int p = 0; p < graph_parameter_count(graph); p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        if (info.fold == NULL && fills(f->config, f->init, info.name)) {
            TRY(fill(f, &info, weights + offsets[p]));
        }
    }
    listing_t rest = unused(f);
    status_t status = judge(f, &rest);
    if (status == STATUS_OK) {
        note_all(origin, f, &rest);
        record(origin, f);
    }
    free(rest.text);
    return status;
}

status_t weights_init(const config_t *config, const graph_t *graph, const int64_t *offsets,
                      float *weights, weights_origin_t *origin_out) {
    weights_origin_t origin = {text_copy("{}"), text_copy(""), text_copy("")};
    status_t status = STATUS_OK;
    for (int i = 0; i < config->init_count && status == STATUS_OK; i++) {
        filling_t f = {.config = config, .init = &config->init[i]};
        if (!weights_init_applies(config, f.init)) {
            continue;
        }
        status = weights_init_open(config, f.init, &f.path, &f.file);
        if (status == STATUS_OK) {
            f.used = alloc_zero(weights_count(f.file), sizeof *f.used);
            status = fill_all(&f, graph, offsets, weights, &origin);
        }
        free(f.path);
        free(f.used);
        free(f.missing.text);
        free(f.misshapen.text);
        free(f.averaged.text);
        free(f.seeded.text);
        weights_close(f.file);
    }
    if (status != STATUS_OK) {
        weights_origin_free(&origin);
        return status;
    }
    *origin_out = origin;
    return STATUS_OK;
}
