#include "trainer/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "trainer/trained_on.h"

static status_t same_config(const char *stored_yaml, const char *place, const config_t *config,
                            config_occasion_t occasion) {
    config_t *stored = NULL;
    TRY(config_parse_stored(stored_yaml, place, NULL, 0, &stored));
    char *difference = config_difference(stored, config, occasion);
    config_free(stored);
    status_t status = STATUS_OK;
    if (difference != NULL) {
        status = status_fail(STATUS_INPUT,
                             "%s: the configuration differs from that of the run: %s; go on with "
                             "the run's own, or begin another run",
                             place, difference);
    }
    free(difference);
    return status;
}

status_t resume_same_results(const char *stored_yaml, const char *place, const config_t *config) {
    return same_config(stored_yaml, place, config, DIFFER_IN_RUN);
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
    if (status == STATUS_OK) {
        status = same_config(checkpoint.config_yaml, directory, config, DIFFER_AT_RESUME);
    }
    free(directory);
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
    TRY(trainer_fingerprint(t->config, t->kernels, t->device, &fingerprint));
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
