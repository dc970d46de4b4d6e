#include "trainer/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "trainer/trained_on.h"

/* Keys that decide how long, where and how safely a run goes on, and those of the fingerprint,
 * whose change is a warning of its own. */
static const char *const loose_keys[] = {
    "virtual_shards:", "epochs:",    "every_steps:", "keep:",           "timeout_s:",
    "patience:",       "path:",      "prefetch:",    "threads:",        "backend:",
    "device:",         "precision:", "reduce:",      "fold_attention:", NULL};
/* And those that decide no result: where the data lies is checked by its identity. */
static const char *const neutral_keys[] = {"keep:", "timeout_s:", "path:", "prefetch:", NULL};

static bool is_one_of(const char *line, const char *const *keys) {
    line += strspn(line, " ");
    for (; *keys != NULL; keys++) {
        if (strncmp(line, *keys, strlen(*keys)) == 0) {
            return true;
        }
    }
    return false;
}

/* Both texts come from config_yaml: the same keys in the same order. */
static status_t same_config(const char *old_yaml, const char *new_yaml,
                            const char *const *may_differ) {
    char *old_text = text_copy(old_yaml), *new_text = text_copy(new_yaml);
    char *old_save = NULL, *new_save = NULL;
    char *a = strtok_r(old_text, "\n", &old_save), *b = strtok_r(new_text, "\n", &new_save);
    status_t status = STATUS_OK;
    while (status == STATUS_OK && (a != NULL || b != NULL)) {
        if (a == NULL || b == NULL || (strcmp(a, b) != 0 && !is_one_of(a, may_differ))) {
            a = a != NULL ? a + strspn(a, " ") : NULL;
            b = b != NULL ? b + strspn(b, " ") : NULL;
            status = status_fail(STATUS_INPUT,
                                 "the configuration differs from that of the run to resume ('%s', "
                                 "then '%s'); resume with the run's own config.yaml",
                                 a != NULL ? a : "", b != NULL ? b : "");
        } else {
            a = strtok_r(NULL, "\n", &old_save);
            b = strtok_r(NULL, "\n", &new_save);
        }
    }
    free(old_text);
    free(new_text);
    return status;
}

status_t resume_same_results(const char *old_yaml, const char *new_yaml) {
    return same_config(old_yaml, new_yaml, neutral_keys);
}

status_t resume_read(const char *resume, const char *run_directory, const config_t *config,
                     checkpoint_t *checkpoint_out, bool *found_out) {
    bool automatic = strcmp(resume, "auto") == 0;
    char *directory = NULL;
    status_t status = checkpoint_resolve(automatic ? run_directory : resume, &directory);
    if (status != STATUS_OK) {
        *found_out = false;
        return automatic ? STATUS_OK : status;
    }
    checkpoint_t checkpoint = {0};
    status = checkpoint_read(directory, &checkpoint);
    free(directory);
    TRY(status);
    char *yaml = config_yaml(config);
    /* The virtual shards decide the order of block: with others, samples would come twice. */
    bool block = strcmp(config->shuffle, "block") == 0;
    status = same_config(checkpoint.config_yaml, yaml, block ? loose_keys + 1 : loose_keys);
    free(yaml);
    if (status != STATUS_OK) {
        checkpoint_free(&checkpoint);
        return status;
    }
    *checkpoint_out = checkpoint;
    *found_out = true;
    return STATUS_OK;
}

status_t resume_restore(const checkpoint_t *checkpoint, trainer_t *t) {
    if (strcmp(checkpoint->data_identity, dataset_identity(t->dataset)) != 0) {
        return status_fail(STATUS_INPUT,
                           "the data is not what the run was trained on; give its own "
                           "with --set data.path=DIR");
    }
    if (checkpoint->train_count != t->train_count) {
        return status_fail(STATUS_INPUT,
                           "an epoch had %lld samples and has %lld now; give --overfit as before",
                           (long long)checkpoint->train_count, (long long)t->train_count);
    }
    TRY(checkpoint_restore(checkpoint, t));
    t->origin = (weights_origin_t){.files = text_copy(checkpoint->init_files),
                                   .trained_on = trained_on_before(checkpoint->trained_on)};
    if (checkpoint->initial_hash[0] != '\0') {
        snprintf(t->initial_hash, sizeof t->initial_hash, "%s", checkpoint->initial_hash);
    }
    char *fingerprint = NULL;
    TRY(trainer_fingerprint(t->config, &fingerprint));
    if (comm_rank(t->comm) == 0 && strcmp(fingerprint, checkpoint->fingerprint) != 0) {
        log_warning(
            "numerics differ from the checkpoint's (%s, then %s): bits are no longer promised",
            checkpoint->fingerprint, fingerprint);
    }
    free(fingerprint);
    log_info("resuming at step %lld, epoch %lld", (long long)t->progress.step,
             (long long)t->progress.epoch);
    return STATUS_OK;
}
