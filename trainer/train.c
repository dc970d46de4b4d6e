#include "trainer/train.h"

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
#include "trainer/generation.h"
#include "trainer/models.h"
#include "trainer/resume.h"
#include "trainer/run_directory.h"
#include "trainer/run_log.h"
#include "trainer/same_on_ranks.h"
#include "trainer/timeline.h"

typedef struct run {
    const config_t *config;
    comm_t *comm;
    const train_options_t *options;
    bool first; /* rank 0 */
    char *data_path;
    char *checkpoints;
    checkpoint_t resumed;
    bool resuming;
    int64_t generation;
    progress_t saved;
    bool has_saved;
    char *best[CONFIG_BEST_MAX + 1]; /* links to the checkpoint that is saved next */
    int best_count;
    trainer_t *trainer;
    run_log_t *log;
    timeline_t *timeline; /* NULL: none is asked for */
    fault_t fault;
    bool stopped;
} run_t;

/* --- signals: a flag that travels with the loss sums, so that all ranks stop at the same step. It
 * is never taken back: a process that trains several models stops at the next one too. */

static volatile sig_atomic_t stop_requested_;

static void request_stop(int signal_number) {
    (void)signal_number;
    stop_requested_ = 1;
}

void train_catch_signals(void) {
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

/* --- data ------------------------------------------------------------------------------------ */

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

/* --- the loop -------------------------------------------------------------------------------- */

static bool same_progress(const progress_t *a, const progress_t *b) {
    return a->step == b->step && a->epoch == b->epoch && a->batch == b->batch &&
           a->best_step == b->best_step && a->bad_epochs == b->bad_epochs;
}

static void link_best(run_t *run, const char *metric) {
    run->best[run->best_count++] = text_format("best-%s", metric);
}

/* Nothing to do where this process has just saved the same. */
static status_t save(run_t *run) {
    trainer_t *t = run->trainer;
    if (run->has_saved && run->best_count == 0 && same_progress(&run->saved, &t->progress)) {
        return STATUS_OK;
    }
    double begin_s = clock_s();
    checkpoint_order_t order = {
        .root = run->checkpoints,
        .generation = run->generation,
        .best = run->best,
        .best_count = run->best_count,
        .keep = run->config->checkpoint.keep,
        .enospc = run->fault.kind == FAULT_ENOSPC && run->fault.step <= t->progress.step,
    };
    trace_begin_number(t->trace, TRACK_MAIN, "checkpoint", "step", t->progress.step);
    status_t status = comm_agree(run->comm, run_log_sync(run->log), "write metrics");
    if (status == STATUS_OK) {
        status = checkpoint_write(t, &order);
    }
    trace_end(t->trace, TRACK_MAIN);
    while (run->best_count > 0) {
        free(run->best[--run->best_count]);
    }
    TRY(status);
    run->saved = t->progress;
    run->has_saved = true;
    run_log_checkpoint(run->log, &t->progress, 1e3 * (clock_s() - begin_s));
    return STATUS_OK;
}

static bool is_due(const run_t *run) {
    int64_t every = run->config->checkpoint.every_steps;
    return every > 0 && run->trainer->progress.step % every == 0;
}

/* best: NaN where there is none yet. */
static bool improves(double best, double value, bool higher_is_better) {
    return !isnan(value) && (isnan(best) || (higher_is_better ? value > best : value < best));
}

/* Links for those metrics of checkpoint.best in which this validation is the best so far. */
static void keep_bests(run_t *run, const evaluation_t *evaluation) {
    progress_t *p = &run->trainer->progress;
    char *metric = NULL;
    for (int i = 0; (metric = config_best_metric(run->config, i)) != NULL; i++) {
        bool higher = true;
        double value = evaluation_metric(evaluation, run->config, metric, &higher);
        if (improves(p->bests[i], value, higher)) {
            p->bests[i] = value;
            link_best(run, metric);
        }
        free(metric);
    }
}

/* Best of nothing is the last. */
static void link_missing(run_t *run) {
    const progress_t *p = &run->trainer->progress;
    char *metric = NULL;
    if (p->best_step < 0) {
        link_best(run, select_on_name(run->config));
    }
    for (int i = 0; (metric = config_best_metric(run->config, i)) != NULL; i++) {
        if (isnan(p->bests[i])) {
            link_best(run, metric);
        }
        free(metric);
    }
}

/* All epochs done (--steps overrides their number), or no improvement for too long. */
static bool is_over(const run_t *run) {
    const progress_t *p = &run->trainer->progress;
    int64_t patience = run->config->early_stopping.patience;
    return (run->options->steps == 0 && p->epoch >= run->config->epochs) ||
           (patience > 0 && p->bad_epochs >= patience);
}

/* Validation at the end of an epoch; the position moves on to the next before anything is saved. */
static status_t end_epoch(run_t *run, bool *finished_out) {
    trainer_t *t = run->trainer;
    bool best = false;
    if (dataset_sample_count(t->dataset, SPLIT_VALID) > 0) {
        evaluation_t *evaluation = NULL;
        bool higher = true;
        run_log_doing(run->log, "validating");
        trace_begin_number(t->trace, TRACK_MAIN, "validation", "step", t->progress.step);
        TRY(trainer_evaluate(t, SPLIT_VALID, NULL, &evaluation));
        trace_end(t->trace, TRACK_MAIN);
        evaluation_fit(evaluation, run->config, &t->target_fit);
        double value = evaluation_selected(evaluation, run->config, &higher);
        best = improves(t->progress.best_step < 0 ? (double)NAN : t->progress.best_value, value,
                        higher);
        keep_bests(run, evaluation);
        run_log_valid(run->log, &t->progress, evaluation, run->config, value, best);
        evaluation_free(evaluation);
        t->progress.bad_epochs = best ? 0 : t->progress.bad_epochs + 1;
        if (best) {
            t->progress.best_value = value;
            t->progress.best_step = t->progress.step;
            link_best(run, select_on_name(run->config));
        }
    }
    run_log_epoch(run->log, &t->progress);
    t->progress.epoch++;
    t->progress.batch = 0;
    *finished_out = is_over(run);
    if (!*finished_out) {
        trainer_read_ahead(t);
    }
    bool due = is_due(run) || run->config->checkpoint.every_steps == 0;
    return run->best_count > 0 || due ? save(run) : STATUS_OK;
}

static status_t train_batches(run_t *run) {
    trainer_t *t = run->trainer;
    int64_t limit = run->options->steps;
    while (t->progress.batch < trainer_batches(t)) {
        if (limit > 0 && t->progress.step >= limit) {
            run->stopped = true;
            return STATUS_OK;
        }
        step_result_t result;
        fault_strike(&run->fault, t->progress.step + 1);
        if (run->fault.kind == FAULT_NAN && run->fault.step == t->progress.step + 1) {
            trainer_poison(t);
        }
        TRY(timeline_step(run->timeline));
        TRY(trainer_step(t, stop_requested_ != 0, &result));
        run_log_step(run->log, &t->progress, &result);
        if (result.stop) {
            TRY(save(run));
            run_log_end(run->log, &t->progress, "stopped by a signal");
            return status_fail(STATUS_STOPPED,
                               "stopped by a signal at step %lld; go on with --resume auto",
                               (long long)t->progress.step);
        }
        if (is_due(run) && t->progress.batch < trainer_batches(t)) { /* the last one: end_epoch */
            TRY(save(run));
        }
    }
    return STATUS_OK;
}

static void announce(const run_t *run) {
    const trainer_t *t = run->trainer;
    char parameters[AMOUNT_BYTES];
    int ranks = comm_size(run->comm);
    amount_text((double)graph_parameter_elements(t->graph), parameters);
    int hosts = t->reduce != NULL ? reduce_joining_hosts(t->reduce) : 1;
    char *joins = hosts > 1 ? text_format("; gradients joined on each of %d hosts", hosts) : NULL;
    char *device = t->device->host
                       ? text_copy("")
                       : text_format(" (%s%s)", t->device->kind, joins != NULL ? joins : "");
    log_info(
        "training %s, %s parameters, on %lld samples (%lld steps an epoch), %d rank%s%s, into %s",
        run->config->model.name, parameters, (long long)t->train_count,
        (long long)trainer_batches(t), ranks, ranks > 1 ? "s" : "", device,
        run->options->run_directory);
    free(device);
    free(joins);
}

static status_t loop(run_t *run) {
    trainer_t *t = run->trainer;
    if (run->options->scope == NULL) {
        announce(run);
    }
    bool finished = is_over(run) || model_is_control(run->config);
    while (!finished && !run->stopped) {
        TRY(train_batches(run));
        if (!run->stopped) {
            TRY(end_epoch(run, &finished));
        }
    }
    link_missing(run);
    TRY(save(run));
    run_log_end(run->log, &t->progress, run->stopped ? "reached --steps" : "finished");
    return comm_agree(run->comm, run_log_sync(run->log), "write metrics");
}

static status_t same_options(const run_t *run) {
    const train_options_t *o = run->options;
    char *text = text_format("--run %s\n--steps %lld\n--overfit %lld\n--resume %s\n--dry-run %d\n"
                             "--profile %s\n--profile-steps %lld:%lld",
                             o->run_directory, (long long)o->steps, (long long)o->overfit,
                             o->resume != NULL ? o->resume : "", o->dry_run,
                             o->profile != NULL ? o->profile : "", (long long)o->profile_first,
                             (long long)o->profile_last);
    status_t status = same_on_ranks(run->comm, text);
    free(text);
    return status;
}

/* Rank 0 has made the run directory: who does not see it would fail at the first save. A network
 * file system may need a moment. */
static status_t sees_directory(const run_t *run) {
    double end_s = clock_s() + 10.0;
    while (!dir_exists(run->checkpoints)) {
        if (clock_s() > end_s) {
            return status_fail(STATUS_INPUT,
                               "%s, which rank 0 has made, is not here; give --run a folder that "
                               "all ranks share, and start them in one working directory",
                               run->checkpoints);
        }
        clock_sleep_us(10000);
    }
    return STATUS_OK;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int64_t step_total(const run_t *run) {
    int64_t limit = run->options->steps;
    return limit > 0 ? limit : run->config->epochs * trainer_batches(run->trainer);
}

/* While another run saves into the directory ranks may see different ones as its last. */
static status_t same_checkpoint(run_t *run) {
    int64_t mine = run->resuming ? run->resumed.progress.step : -1;
    int64_t *all = alloc_zero(comm_size(run->comm), sizeof *all);
    status_t status = comm_all_gather(run->comm, &mine, sizeof mine, all, "compare checkpoints");
    if (status == STATUS_OK && mine != all[0]) {
        status = status_fail(STATUS_FAILED,
                             "this rank goes on from step %lld, rank 0 from step %lld: another run "
                             "saves into %s; let only one run use a directory",
                             (long long)max_i64(mine, 0), (long long)max_i64(all[0], 0),
                             run->options->run_directory);
    }
    free(all);
    return comm_agree(run->comm, status, "resume");
}

static status_t open_run(run_t *run) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    TRY(same_options(run));
    status_t status = fault_parse(comm_rank(run->comm), comm_size(run->comm), &run->fault);
    if (status == STATUS_OK) {
        status = trainer_kernels(run->config, run->comm, &kernels, &device);
        device_close(device);
    }
    if (status == STATUS_OK) {
        status = trainer_check_ranks(run->config, comm_size(run->comm));
    }
    if (status == STATUS_OK && run->first && !run->options->dry_run) {
        status = run_directory_check(run->options->run_directory, run->options->resume);
    }
    if (status == STATUS_OK && run->options->resume != NULL) {
        status = resume_read(run->options->resume, run->options->run_directory, run->config,
                             &run->resumed, &run->resuming);
    }
    TRY(comm_agree(run->comm, status, "open run"));
    TRY(same_checkpoint(run));
    TRY(prepare_data(run));
    TRY(trainer_open(run->config, run->comm, run->data_path, NULL, NULL, true, &run->trainer));
    if (run->options->overfit > 0) {
        run->trainer->train_count = min_i64(run->trainer->train_count, run->options->overfit);
    }
    TRY(trainer_init_weights(run->trainer, !run->resuming));
    if (run->resuming) {
        status = resume_restore(&run->resumed, run->trainer);
    }
    if (status == STATUS_OK && run->options->initial_hash != NULL &&
        strcmp(run->options->initial_hash, run->trainer->initial_hash) != 0) {
        status = status_fail(STATUS_FAILED,
                             "the initial weights are not those of seed %lld (%s); report this",
                             (long long)run->config->seed, run->trainer->initial_hash);
    }
    return comm_agree(run->comm, status, "resume");
}

static status_t open_log(run_t *run) {
    run_log_config_t config = {
        .directory = run->options->run_directory,
        .active = run->first,
        .config = run->config,
        .progress = &run->trainer->progress,
        .scope = run->options->scope,
        .step_total = step_total(run),
        .epoch_total = run->options->steps > 0 ? 0 : run->config->epochs,
        .ranks = comm_size(run->comm),
    };
    return run_log_open(&config, &run->log);
}

/* Rank 0. Under the lock: of two starts at once one writes these files after the other. */
static status_t open_files(run_t *run) {
    int lock = -1;
    TRY(run_directory_claim(run->options->run_directory, &run->generation));
    TRY(generation_lock(run->checkpoints, run->generation, &lock));
    status_t status =
        run_directory_describe(run->options->run_directory, run->data_path, run->trainer);
    status = status == STATUS_OK ? open_log(run) : status;
    generation_unlock(lock);
    return status;
}

static status_t open_directory(run_t *run) {
    status_t status = run->first ? open_files(run) : open_log(run);
    TRY(comm_agree(run->comm, status, "open run directory"));
    TRY(comm_agree(run->comm, sees_directory(run), "open run directory"));
    return comm_broadcast(run->comm, &run->generation, sizeof run->generation,
                          "open run directory");
}

static status_t open_timeline(run_t *run) {
    const train_options_t *o = run->options;
    return o->profile != NULL ? timeline_open(run->trainer, o->profile, o->profile_first,
                                              o->profile_last, &run->timeline)
                              : STATUS_OK;
}

/* Also of a run that was stopped, whose own line stays. */
static status_t end_timeline(run_t *run, status_t status) {
    if (status != STATUS_OK && status != STATUS_STOPPED) {
        return status;
    }
    char *text = text_copy(status_text());
    status_t timeline = comm_agree(run->comm, timeline_end(run->timeline), "write profile");
    if (status == STATUS_STOPPED) {
        if (timeline != STATUS_OK && timeline != STATUS_PEER) {
            log_warning("%s", status_text());
        }
        timeline = status_fail(status, "%s", text);
    }
    free(text);
    return timeline;
}

status_t train_run(const config_t *config, comm_t *comm, const train_options_t *options) {
    run_t run = {.config = config, .comm = comm, .options = options, .first = comm_rank(comm) == 0};
    run.checkpoints = text_format("%s/checkpoints", options->run_directory);
    train_catch_signals();
    status_t status = open_run(&run);
    if (status == STATUS_OK && config->split.valid_fraction == 0.0 &&
        strcmp(config->select_on, "auto") != 0) {
        log_info("split.valid_fraction is 0, so select_on %s has nobody to ask: the last "
                 "checkpoint counts",
                 config->select_on);
    }
    if (status == STATUS_OK && !options->dry_run) {
        status = open_directory(&run);
        status = status == STATUS_OK ? open_timeline(&run) : status;
        status = status == STATUS_OK ? loop(&run) : status;
        status = end_timeline(&run, status);
    } else if (status == STATUS_OK) {
        log_info(
            "dry run: %lld parameters, %lld training samples, %lld batches an epoch: all is well",
            (long long)graph_parameter_elements(run.trainer->graph),
            (long long)run.trainer->train_count, (long long)trainer_batches(run.trainer));
    }
    if (status == STATUS_STOPPED) {
        status = comm_agree(comm, status, "training");
    }
    run_log_close(run.log);
    timeline_close(run.timeline);
    trainer_close(run.trainer);
    checkpoint_free(&run.resumed);
    free(run.checkpoints);
    free(run.data_path);
    return status;
}
