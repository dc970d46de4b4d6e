#include "trainer/cv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "trainer/checkpoint.h"
#include "trainer/cv_summary.h"
#include "trainer/evaluation_record.h"
#include "trainer/export.h"
#include "trainer/model_data.h"
#include "trainer/resume.h"
#include "trainer/run_directory.h"
#include "trainer/train.h"
#include "trainer/trained_on.h"
#include "trainer/weights_init.h"

typedef struct cv {
    config_t config; /* the caller's, with data.path filled in */
    cv_plan_t plan;
    char *data_people; /* whom the data's embeddings know (dataset_trained_on) */
    comm_t *whole, *group;
    int group_count, group_index;
    bool first;           /* rank 0 of its group */
    int64_t logged_bytes; /* when last looked at: of all folds' metrics.jsonl */
    run_scope_t scope;    /* of the fold that is trained, within this group's share */
} cv_t;

/* Of the folds with the first seed, then with the second, ... */
static int64_t fold_of(const cv_t *cv, int job) {
    return cv->plan.folds[job % cv->plan.fold_count];
}

static int64_t seed_of(const cv_t *cv, int job) {
    return cv->plan.seeds[job / cv->plan.fold_count];
}

/* --- before the folds ------------------------------------------------------------------------ */

static status_t keep_config(const cv_t *cv) {
    config_t common = cv->config;
    common.split.fold = 0;
    char *path = text_format("%s/config.yaml", cv->plan.out), *old = NULL;
    status_t status = STATUS_OK;
    if (file_exists(path)) {
        status = file_read(path, &old, NULL);
        status = status == STATUS_OK ? resume_same_results(old, path, &common) : status;
    } else {
        char *yaml = config_yaml(&common);
        status = file_write_durable(path, yaml, strlen(yaml));
        free(yaml);
    }
    free(old);
    free(path);
    return status;
}

static status_t make_synthetic(const char *path) {
    char *manifest = text_format("%s/dataset.json", path);
    bool there = file_exists(manifest);
    free(manifest);
    if (there) {
        return STATUS_OK;
    }
    log_info("data.path is not set: writing synthetic data to %s", path);
    return import_run("synthetic", NULL, path, NULL, 0);
}

/* Rank 0. */
static status_t open_directory(const cv_t *cv, const cv_options_t *options, bool own_data) {
    long long folds = cv->config.split.folds;
    if (folds == 0 && !options->no_folds) {
        return status_fail(STATUS_INPUT,
                           "split.folds is 0, so there are no folds; set it to their number, or to "
                           "-1 to leave one subject out, or give --folds none for the split as it "
                           "stands");
    }
    if (folds != 0 && options->no_folds) {
        return status_fail(STATUS_INPUT,
                           "--folds none, but split.folds is %lld; leave one of them out", folds);
    }
    TRY(run_directory_check(cv->plan.out, NULL));
    TRY(dir_make(cv->plan.out));
    return own_data ? make_synthetic(cv->config.data.path) : STATUS_OK;
}

/* Where people come from whom a fold knows before it is trained. */
typedef struct origin {
    const char *setting, *what, *remedy;
} origin_t;
static const origin_t of_weights = {
    "init", "the weights that it begins with",
    "give each fold its own, such as RUNS/fold-{fold}-seed-{seed} of another jmt cv, or leave init "
    "out"};
static const origin_t of_features = {
    "data.path", "the backbones of its features, or their scales,",
    "extract the features by other weights, without data.standardize: train"};

static status_t check_people(const config_t *config, const dataset_t *dataset, const char *people,
                             const origin_t *origin) {
    int64_t seen = 0, all = 0;
    bool overlap = config->split.allow_subject_overlap;
    if (people[0] == '\0' || trained_on_check(people, dataset, SPLIT_TEST, overlap) == STATUS_OK) {
        return STATUS_OK;
    }
    trained_on_count(people, dataset, SPLIT_TEST, overlap, &seen, &all);
    return status_fail(STATUS_INPUT,
                       "%s: fold %lld would score %lld of its %lld people whom %s were trained on; "
                       "%s",
                       origin->setting, (long long)config->split.fold, (long long)seen,
                       (long long)all, origin->what, origin->remedy);
}

/* Nobody is scored whom a fold knows: better said before anything is trained. people: of the files
 * that it begins with (trained_on.h). */
static status_t check_origin(const cv_t *cv, const config_t *config, const char *people) {
    dataset_t *dataset = NULL;
    TRY(model_data_open(config, config->data.path, NULL, &dataset));
    status_t status = check_people(config, dataset, people, &of_weights);
    if (status == STATUS_OK) {
        status = check_people(config, dataset, cv->data_people, &of_features);
    }
    dataset_close(dataset);
    return status;
}

/* Files whose names have no fold in them are read once. */
static status_t check_origins(const cv_t *cv) {
    const cv_plan_t *plan = &cv->plan;
    config_t config = cv->config;
    bool vary = weights_init_varies(&config);
    char *people = NULL;
    status_t status = STATUS_OK;
    int jobs = plan->fold_count * (vary ? plan->seed_count : 1);
    bool any = config.init_count > 0 || cv->data_people[0] != '\0';
    for (int job = 0; job < jobs && status == STATUS_OK && any; job++) {
        config.split.fold = fold_of(cv, job);
        config.seed = seed_of(cv, job);
        if (people == NULL || vary) {
            free(people);
            people = NULL;
            status = weights_init_people(&config, &people);
        }
        if (status == STATUS_OK && (people[0] != '\0' || cv->data_people[0] != '\0')) {
            status = check_origin(cv, &config, people);
        }
    }
    free(people);
    return status;
}

static status_t describe_data(cv_t *cv) {
    cv_plan_t *plan = &cv->plan;
    config_t config = cv->config;
    config.split.fold = 0;
    dataset_t *dataset = NULL;
    TRY(model_data_open(&config, config.data.path, NULL, &dataset));
    status_t status = model_data_check(&config, dataset);
    if (status != STATUS_OK) {
        dataset_close(dataset);
        return status;
    }
    plan->fold_total = dataset_fold_count(dataset);
    plan->data_identity = text_copy(dataset_identity(dataset));
    cv->data_people = text_copy(dataset_trained_on(dataset));
    dataset_close(dataset);
    return STATUS_OK;
}

static status_t choose_folds(cv_t *cv, const cv_options_t *options) {
    cv_plan_t *plan = &cv->plan;
    TRY(describe_data(cv));
    plan->fold_total = options->no_folds ? 1 : plan->fold_total;
    plan->fold_count = options->fold_count > 0 ? options->fold_count : (int)plan->fold_total;
    plan->folds = alloc_zero(plan->fold_count, sizeof *plan->folds);
    for (int i = 0; i < plan->fold_count; i++) {
        plan->folds[i] = options->fold_count > 0 ? options->folds[i] : i;
        if (plan->folds[i] >= plan->fold_total) {
            return status_fail(STATUS_INPUT, "there is no fold %lld; there are 0 to %lld",
                               (long long)plan->folds[i], (long long)plan->fold_total - 1);
        }
    }
    return check_origins(cv);
}

/* Rank r goes to group r * groups / ranks: as many groups as there is work for. */
static status_t make_groups(cv_t *cv) {
    int ranks = comm_size(cv->whole);
    int jobs = cv->plan.fold_count * cv->plan.seed_count;
    cv->group_count = (int)min_i64(ranks, jobs);
    cv->group_index = (int)((int64_t)comm_rank(cv->whole) * cv->group_count / ranks);
    TRY(comm_split(cv->whole, cv->group_index, &cv->group));
    cv->first = comm_rank(cv->group) == 0;
    return STATUS_OK;
}

/* --- one fold -------------------------------------------------------------------------------- */

/* What is done must be of the same data and of the same settings. A record of an earlier version,
 * which does not say of which, is made again. */
static status_t check_done(const cv_t *cv, const config_t *config, const char *directory,
                           bool *done_out) {
    char *path = text_format("%s/evaluation.json", directory), *text = NULL;
    status_t status = STATUS_OK;
    *done_out = file_exists(path);
    if (*done_out) {
        status = file_read(path, &text, NULL);
    }
    if (*done_out && status == STATUS_OK) {
        json_t *root = json_loads(text, 0, NULL);
        const char *data = json_string_value(json_object_get(root, "data"));
        const char *yaml = json_string_value(json_object_get(root, "config"));
        if (data == NULL || strcmp(data, cv->plan.data_identity) != 0) {
            status = status_fail(STATUS_INPUT, "%s was made from other data; choose another --out",
                                 directory);
        } else if (yaml != NULL) {
            status = resume_same_results(yaml, path, config);
        }
        *done_out = yaml != NULL;
        json_decref(root);
    }
    free(text);
    free(path);
    return status;
}

static status_t initial_hash(const config_t *config, char hash_out[SHA256_TEXT_BYTES]) {
    tensor_set_t initial = {0};
    TRY(export_initial(config, &initial));
    tensor_set_hash(&initial, hash_out);
    tensor_set_free(&initial);
    return STATUS_OK;
}

static char *best_name(const config_t *config) {
    return text_format("best-%s", select_on_name(config));
}

/* evaluation.json last: it says that the fold is done. */
static status_t write_results(const trainer_t *t, const checkpoint_t *checkpoint,
                              const evaluation_t *evaluation, const char *directory,
                              const char *hash) {
    char *csv = text_format("%s/predictions.csv", directory);
    status_t status = evaluation_write_csv(evaluation, t->config, t->dataset, SPLIT_TEST, csv);
    free(csv);
    TRY(status);
    evaluation_source_t source = {.checkpoint = checkpoint, .name = best_name(t->config)};
    char *text = evaluation_record(evaluation, t, SPLIT_TEST, &source);
    free(source.name);
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    json_object_set_new(root, "fold", json_integer(t->config->split.fold));
    json_object_set_new(root, "initial_hash", json_string(hash));
    text = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(root);
    char *path = text_format("%s/evaluation.json", directory);
    status = file_write_durable(path, text, strlen(text));
    free(path);
    free(text);
    return status;
}

static status_t evaluate_fold(const cv_t *cv, const config_t *config, const char *directory,
                              const char *hash) {
    checkpoint_t checkpoint = {0};
    trainer_t *t = NULL;
    evaluation_t *evaluation = NULL;
    char *name = best_name(config), *best = text_format("%s/checkpoints/%s", directory, name);
    free(name);
    status_t status =
        comm_agree(cv->group, checkpoint_read_weights(best, &checkpoint), "read checkpoint");
    free(best);
    if (status == STATUS_OK) {
        status = trainer_open_checkpoint(config, cv->group, config->data.path, &checkpoint, &t);
    }
    if (status == STATUS_OK) {
        status = comm_agree(cv->group, evaluation_check(&checkpoint, t, SPLIT_TEST), NULL);
    }
    if (status == STATUS_OK) {
        status = trainer_evaluate(t, SPLIT_TEST, "scoring", &evaluation);
    }
    if (status == STATUS_OK) {
        if (cv->first) {
            status = write_results(t, &checkpoint, evaluation, directory, hash);
        }
        status = comm_agree(cv->group, status, "write results");
    }
    evaluation_free(evaluation);
    trainer_close(t);
    checkpoint_free(&checkpoint);
    return status;
}

static status_t train_fold(const cv_t *cv, const config_t *config, const char *directory) {
    char hash[SHA256_TEXT_BYTES] = "", title[96];
    run_scope_t scope = cv->scope;
    TRY(comm_agree(cv->group, initial_hash(config, hash), "initial weights"));
    snprintf(title, sizeof title, "fold %lld, seed %lld (%d/%d%s)", (long long)config->split.fold,
             (long long)config->seed, scope.part + 1, scope.part_count,
             cv->group_count > 1 ? " here" : "");
    scope.title = title;
    train_options_t options = {
        .run_directory = directory, .resume = "auto", .initial_hash = hash, .scope = &scope};
    TRY(train_run(config, cv->group, &options));
    return evaluate_fold(cv, config, directory, hash);
}

static status_t run_fold(cv_t *cv, int64_t fold, int64_t seed) {
    config_t config = cv->config;
    config.split.fold = fold;
    config.seed = seed;
    char *directory = cv_fold_directory(&cv->plan, fold, seed);
    bool done = false;
    status_t status = cv->first ? check_done(cv, &config, directory, &done) : STATUS_OK;
    status = comm_agree(cv->group, status, "look for results");
    if (status == STATUS_OK) {
        status = comm_broadcast(cv->group, &done, sizeof done, "look for results");
    }
    if (status == STATUS_OK && !done) {
        status = train_fold(cv, &config, directory);
        cv->scope.part++;
    }
    free(directory);
    return status;
}

/* Of this group's share, what an earlier start has not done. */
static int count_open(const cv_t *cv, int jobs) {
    int count = 0;
    for (int job = cv->group_index; job < jobs; job += cv->group_count) {
        char *directory = cv_fold_directory(&cv->plan, fold_of(cv, job), seed_of(cv, job));
        char *path = text_format("%s/evaluation.json", directory);
        count += !file_exists(path);
        free(path);
        free(directory);
    }
    return count;
}

static status_t run_folds(cv_t *cv) {
    int jobs = cv->plan.fold_count * cv->plan.seed_count;
    cv->scope = (run_scope_t){"", 0, count_open(cv, jobs), clock_s()};
    if (cv->scope.part_count < jobs && cv->group_count == 1) {
        log_info("%d of %d folds are there from before", jobs - cv->scope.part_count, jobs);
    }
    for (int job = cv->group_index; job < jobs; job += cv->group_count) {
        TRY(run_fold(cv, fold_of(cv, job), seed_of(cv, job)));
    }
    if (cv->group_count > 1 && cv->scope.part_count > 0) {
        log_status("this rank's folds are done; waiting for those of the others");
    }
    return STATUS_OK;
}

/* The whole waits for its groups as long as one of them logs something within comm.timeout_s. */
static bool folds_move(void *context) {
    cv_t *cv = context;
    int64_t bytes = 0;
    for (int job = 0; job < cv->plan.fold_count * cv->plan.seed_count; job++) {
        char *directory = cv_fold_directory(&cv->plan, fold_of(cv, job), seed_of(cv, job));
        char *path = text_format("%s/metrics.jsonl", directory);
        bytes += file_bytes(path);
        free(path);
        free(directory);
    }
    bool moves = bytes != cv->logged_bytes;
    cv->logged_bytes = bytes;
    return moves;
}

/* --- the whole ------------------------------------------------------------------------------- */

static status_t run_all(cv_t *cv, const cv_options_t *options, bool own_data) {
    bool first = comm_rank(cv->whole) == 0;
    status_t status = first ? open_directory(cv, options, own_data) : STATUS_OK;
    TRY(comm_agree(cv->whole, status, NULL));
    TRY(trainer_check_devices(&cv->config, cv->whole));
    TRY(comm_agree(cv->whole, choose_folds(cv, options), "open data"));
    status = first ? keep_config(cv) : STATUS_OK; /* what was refused leaves none behind */
    TRY(comm_agree(cv->whole, status, NULL));
    TRY(make_groups(cv));
    comm_set_watch(cv->whole, folds_move, cv);
    TRY(comm_agree(cv->whole, run_folds(cv), "fold"));
    comm_set_watch(cv->whole, NULL, NULL);
    log_status(NULL);
    status = first ? cv_summarize(&cv->config, &cv->plan) : STATUS_OK;
    return comm_agree(cv->whole, status, "write summary");
}

status_t cv_run(const config_t *config, comm_t *comm, const cv_options_t *options) {
    REQUIRE(options->seed_count > 0);
    cv_t cv = {.config = *config, .whole = comm};
    cv.plan.out = text_copy(options->out);
    cv.plan.seeds = options->seeds;
    cv.plan.seed_count = options->seed_count;
    bool own_data = config->data.path[0] == '\0';
    char *data = text_format("%s/data", options->out);
    if (own_data) {
        cv.config.data.path = data;
    }
    status_t status = run_all(&cv, options, own_data);
    comm_close(cv.group);
    free(cv.plan.out);
    free(cv.plan.folds);
    free(cv.plan.data_identity);
    free(cv.data_people);
    free(data);
    return status;
}
