#include "trainer/train.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "trainer/checkpoint.h"
#include "trainer/fault.h"
#include "trainer/run_log.h"

typedef struct run {
    const config_t *config;
    comm_t *comm;
    const train_options_t *options;
    bool first;       /* rank 0 */
    char *data_path;
    char *checkpoints;
    checkpoint_t resumed;
    bool resuming;
    trainer_t *trainer;
    run_log_t *log;
    fault_t fault;
    bool stopped;
} run_t;

/* --- signals: a flag that travels with the loss sums, so that all ranks stop at the same step --------- */

static volatile sig_atomic_t stop_requested_;

static void request_stop(int signal_number) {
    (void)signal_number;
    stop_requested_ = 1;
}

static void catch_signals(void) {
    struct sigaction action = { .sa_handler = request_stop, .sa_flags = SA_RESTART };
    stop_requested_ = 0;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

/* --- the run directory ------------------------------------------------------------------------------ */

static status_t write_text(const char *directory, const char *name, const char *text) {
    char *path = text_format("%s/%s", directory, name);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    return status;
}

/* What `jmt table` calls the run. */
static const char *row_name(const run_t *run) {
    bool unimodal = strcmp(run->config->model.name, "unimodal") == 0;
    return unimodal ? run->trainer->modality_names[0] : run->config->model.name;
}

static status_t write_run_manifest(const run_t *run) {
    const config_t *config = run->config;
    char *fingerprint = NULL;
    TRY(trainer_fingerprint(config, &fingerprint));
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    json_t *manifest = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:I}", "program", "jmt", "version",
        JMT_VERSION, "model", config->model.name, "row", row_name(run), "selected_on",
        select_on_name(config), "seed", (json_int_t)config->seed, "ranks",
        (json_int_t)comm_size(run->comm), "host", host, "fingerprint", fingerprint, "data",
        dataset_identity(run->trainer->dataset), "data_path", run->data_path, "parameters",
        (json_int_t)graph_parameter_elements(run->trainer->graph));
    char *text = json_dumps(manifest, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    status_t status = write_text(run->options->run_directory, "manifest.json", text);
    free(text);
    json_decref(manifest);
    free(fingerprint);
    if (status == STATUS_OK) {
        char *yaml = config_yaml(config);
        status = write_text(run->options->run_directory, "config.yaml", yaml);
        free(yaml);
    }
    return status;
}

/* A new run never writes over an old one. */
static status_t claim_directory(const run_t *run) {
    const char *directory = run->options->run_directory;
    char *manifest = text_format("%s/manifest.json", directory);
    bool taken = file_exists(manifest) && !run->resuming;
    free(manifest);
    if (taken) {
        return status_fail(STATUS_INPUT,
                           "%s already holds a run; go on with --resume auto, or choose another --run",
                           directory);
    }
    return dir_make(directory);
}

/* --- data ------------------------------------------------------------------------------------------- */

static status_t make_synthetic(const run_t *run) {
    char *manifest = text_format("%s/dataset.json", run->data_path);
    bool there = file_exists(manifest);
    free(manifest);
    if (there) {
        return STATUS_OK;
    }
    log_info("data.path is not set: writing synthetic data to %s", run->data_path);
    return import_run("synthetic", NULL, run->data_path, NULL, 0);
}

static status_t prepare_data(run_t *run) {
    if (run->config->data.path[0] != '\0') {
        run->data_path = text_copy(run->config->data.path);
        return STATUS_OK;
    }
    run->data_path = text_format("%s/data", run->options->run_directory);
    status_t status = run->first ? make_synthetic(run) : STATUS_OK;
    return comm_agree(run->comm, status, "write synthetic data");
}

/* --- resume ----------------------------------------------------------------------------------------- */

static bool may_differ(const char *line) {
    static const char *const keys[] = { "epochs:",  "every_steps:", "keep:",    "timeout_s:",
                                        "patience:", "path:",       "threads:", "backend:",
                                        "device:" };
    line += strspn(line, " ");
    for (int i = 0; i < ARRAY_LEN(keys); i++) {
        if (strncmp(line, keys[i], strlen(keys[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Both texts come from config_yaml: the same keys in the same order. */
static status_t same_config(const char *old_yaml, const char *new_yaml) {
    char *old_text = text_copy(old_yaml), *new_text = text_copy(new_yaml);
    char *old_save = NULL, *new_save = NULL;
    char *a = strtok_r(old_text, "\n", &old_save), *b = strtok_r(new_text, "\n", &new_save);
    status_t status = STATUS_OK;
    while (status == STATUS_OK && (a != NULL || b != NULL)) {
        if (a == NULL || b == NULL || (strcmp(a, b) != 0 && !may_differ(a))) {
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

static status_t read_resumed(run_t *run) {
    const char *resume = run->options->resume;
    bool automatic = strcmp(resume, "auto") == 0;
    const char *path = automatic ? run->options->run_directory : resume;
    char *directory = NULL;
    status_t found = checkpoint_resolve(path, &directory);
    free(directory);
    if (found != STATUS_OK) {
        return automatic ? STATUS_OK : found;
    }
    TRY(checkpoint_read(path, &run->resumed));
    run->resuming = true;
    char *yaml = config_yaml(run->config);
    status_t status = same_config(run->resumed.config_yaml, yaml);
    free(yaml);
    return status;
}

static status_t restore(run_t *run) {
    char *fingerprint = NULL;
    TRY(checkpoint_restore(&run->resumed, run->trainer));
    if (strcmp(run->resumed.data_identity, dataset_identity(run->trainer->dataset)) != 0) {
        return status_fail(STATUS_INPUT, "the data in %s is not what the run was trained on; give "
                                         "data.path", run->data_path);
    }
    TRY(trainer_fingerprint(run->config, &fingerprint));
    if (run->first && strcmp(fingerprint, run->resumed.fingerprint) != 0) {
        log_warning("numerics differ from the checkpoint's (%s, then %s): bits are no longer promised",
                    run->resumed.fingerprint, fingerprint);
    }
    free(fingerprint);
    log_info("resuming at step %lld, epoch %lld", (long long)run->trainer->progress.step,
             (long long)run->trainer->progress.epoch);
    return STATUS_OK;
}

/* --- the loop ---------------------------------------------------------------------------------------- */

static status_t save(run_t *run, bool best) {
    trainer_t *t = run->trainer;
    double begin_s = clock_s();
    bool enospc = run->fault.kind == FAULT_ENOSPC && run->fault.step <= t->progress.step;
    TRY(comm_agree(run->comm, run_log_status(run->log), "write metrics"));
    TRY(checkpoint_write(t, run->checkpoints, enospc));
    status_t status = STATUS_OK;
    if (run->first && best) {
        char *name = text_format("best-%s", select_on_name(run->config));
        status = checkpoint_link(run->checkpoints, name, t->progress.step);
        free(name);
    }
    if (run->first && status == STATUS_OK) {
        status = checkpoint_prune(run->checkpoints, run->config->checkpoint.keep);
    }
    run_log_checkpoint(run->log, &t->progress, 1e3 * (clock_s() - begin_s));
    return comm_agree(run->comm, status, "save checkpoint");
}

static bool improves(const trainer_t *t, double value, bool higher_is_better) {
    if (isnan(value)) {
        return false;
    }
    double best = t->progress.best_value;
    return t->progress.best_step < 0 || (higher_is_better ? value > best : value < best);
}

/* Validation at the end of an epoch; the position moves to the next epoch before anything is saved. */
static status_t end_epoch(run_t *run, bool *finished_out) {
    trainer_t *t = run->trainer;
    bool best = false;
    if (dataset_sample_count(t->dataset, SPLIT_VALID) > 0) {
        evaluation_t *evaluation = NULL;
        bool higher = true;
        TRY(trainer_evaluate(t, SPLIT_VALID, &evaluation));
        double value = evaluation_selected(evaluation, run->config, &higher);
        best = improves(t, value, higher);
        run_log_valid(run->log, &t->progress, evaluation, run->config, value, best);
        evaluation_free(evaluation);
        t->progress.bad_epochs = best ? 0 : t->progress.bad_epochs + 1;
        if (best) {
            t->progress.best_value = value;
            t->progress.best_step = t->progress.step;
        }
    }
    t->progress.epoch++;
    t->progress.batch = 0;
    int64_t patience = run->config->early_stopping.patience;
    *finished_out = t->progress.epoch >= run->config->epochs ||
                    (patience > 0 && t->progress.bad_epochs >= patience);
    return best ? save(run, true) : STATUS_OK;
}

static status_t train_batches(run_t *run) {
    trainer_t *t = run->trainer;
    int64_t limit = run->options->steps, every = run->config->checkpoint.every_steps;
    while (t->progress.batch < trainer_batches(t)) {
        if (limit > 0 && t->progress.step >= limit) {
            run->stopped = true;
            return STATUS_OK;
        }
        step_result_t result;
        fault_strike(&run->fault, t->progress.step + 1);
        if (run->fault.kind == FAULT_NAN && run->fault.step == t->progress.step + 1) {
            t->weights[0] = NAN;
        }
        TRY(trainer_step(t, stop_requested_ != 0, &result));
        run_log_step(run->log, &t->progress, &result);
        if (result.stop) {
            TRY(save(run, false));
            run_log_end(run->log, &t->progress, "stopped by a signal");
            return status_fail(STATUS_STOPPED, "stopped by a signal at step %lld; go on with "
                                               "--resume auto", (long long)t->progress.step);
        }
        if (every > 0 && t->progress.step % every == 0) {
            TRY(save(run, false));
        }
    }
    return STATUS_OK;
}

static status_t loop(run_t *run) {
    trainer_t *t = run->trainer;
    bool finished = t->progress.epoch >= run->config->epochs ||
                    strcmp(run->config->model.name, "majority") == 0;
    int64_t patience = run->config->early_stopping.patience;
    finished |= patience > 0 && t->progress.bad_epochs >= patience;
    while (!finished && !run->stopped) {
        TRY(train_batches(run));
        if (!run->stopped) {
            TRY(end_epoch(run, &finished));
        }
    }
    TRY(save(run, t->progress.best_step < 0));
    run_log_end(run->log, &t->progress, run->stopped ? "reached --steps" : "finished");
    return STATUS_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static int64_t step_total(const run_t *run) {
    int64_t total = run->config->epochs * trainer_batches(run->trainer);
    return run->options->steps > 0 ? min_i64(total, run->options->steps) : total;
}

static status_t open_run(run_t *run) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    status_t status = fault_parse(comm_rank(run->comm), &run->fault);
    if (status == STATUS_OK) {
        status = trainer_kernels(run->config, &kernels, &device);
    }
    if (status == STATUS_OK) {
        status = trainer_check_ranks(run->config, comm_size(run->comm));
    }
    if (status == STATUS_OK && run->options->resume != NULL) {
        status = read_resumed(run);
    }
    if (status == STATUS_OK && run->first && !run->options->dry_run) {
        status = claim_directory(run);
    }
    TRY(comm_agree(run->comm, status, "open run"));
    TRY(prepare_data(run));
    standardize_t *statistics = NULL;
    TRY(trainer_open(run->config, run->comm, run->data_path, statistics, true, &run->trainer));
    if (run->options->overfit > 0) {
        run->trainer->train_count = min_i64(run->trainer->train_count, run->options->overfit);
    }
    TRY(trainer_init_weights(run->trainer));
    status = run->resuming ? restore(run) : STATUS_OK;
    return comm_agree(run->comm, status, "resume");
}

static status_t open_log(run_t *run) {
    status_t status = run->first ? write_run_manifest(run) : STATUS_OK;
    status_t opened = run_log_open(run->options->run_directory, run->first,
                                   run->trainer->progress.step, step_total(run),
                                   comm_size(run->comm), &run->log);
    return comm_agree(run->comm, status != STATUS_OK ? status : opened, "open run directory");
}

status_t train_run(const config_t *config, comm_t *comm, const train_options_t *options) {
    run_t run = { .config = config,
                  .comm = comm,
                  .options = options,
                  .first = comm_rank(comm) == 0 };
    run.checkpoints = text_format("%s/checkpoints", options->run_directory);
    catch_signals();
    status_t status = open_run(&run);
    if (status == STATUS_OK && !options->dry_run) {
        status = open_log(&run);
        status = status == STATUS_OK ? loop(&run) : status;
    } else if (status == STATUS_OK) {
        log_info("dry run: %lld parameters, %lld training samples, %lld batches an epoch: all is well",
                 (long long)graph_parameter_elements(run.trainer->graph),
                 (long long)run.trainer->train_count, (long long)trainer_batches(run.trainer));
    }
    if (status == STATUS_STOPPED) {
        status = comm_agree(comm, status, "training");
    }
    run_log_close(run.log);
    trainer_close(run.trainer);
    checkpoint_free(&run.resumed);
    free(run.checkpoints);
    free(run.data_path);
    return status;
}
