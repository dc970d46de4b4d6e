/* main.c - finds the subcommand, runs it, turns its status into the exit code. Nothing else
 * exits. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "launch/help.h"
#include "launch/terminal.h"
#include "trainer/train.h"

/* In the order of man page and completion; help sorts by group. */
const command_t *const command_list[] = {
    &command_train,
    &command_cv,
    &command_launch,
    &command_shard,
    &command_extract,
    &command_inspect,
    &command_evaluate,
    &command_robustness,
    &command_table,
    &command_export,
    &command_plan,
    &command_config,
    &command_doctor,
    &command_bench,
    &command_step,
    &command_completion,
    NULL,
};

/* Ranks that were started as different commands would wait for each other in different places. */
static status_t same_command(comm_t *comm, const char *name) {
    enum { NAME_BYTES = 32 };
    char mine[NAME_BYTES] = "", *all = alloc_zero(comm_size(comm), NAME_BYTES);
    snprintf(mine, sizeof mine, "%s", name);
    status_t status = comm_all_gather(comm, mine, NAME_BYTES, all, "compare commands");
    if (status == STATUS_OK && memcmp(mine, all, NAME_BYTES) != 0) {
        status = status_fail(STATUS_INPUT,
                             "this rank runs '%s' where rank 0 runs '%s'; start all "
                             "ranks with the same command",
                             mine, all);
    }
    free(all);
    return comm_agree(comm, status, "start");
}

static status_t run_command(comm_t *comm, const command_t *command, int argc, char **argv) {
    arguments_t arguments;
    status_t status = arguments_parse(argc, argv, command->options, command->positional_min,
                                      command->positional_max, command->rest, &arguments);
    if (status == STATUS_INPUT) {
        return status_fail(status, "%s; see jmt %s --help", status_text(), command->name);
    }
    TRY(status);
    return command->run(comm, &arguments);
}

/* A collective command agrees on its own errors as it goes; one that ends otherwise has broken the
 * group, and the others must not wait for it. */
static int finish(comm_t *comm, status_t status) {
    status_t agreed = comm_exit_status(comm);
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        status = status_fail_errno(STATUS_FAILED, "cannot write to standard output");
    }
    log_status(NULL);
    bool silent = status == STATUS_PEER || status_text()[0] == '\0'; /* said by another process */
    if (status != STATUS_OK && !silent) {
        log_error("%s", status_text());
        fflush(NULL);
        if (comm_size(comm) > 1 && (agreed == STATUS_OK || comm_is_broken(comm))) {
            comm_abort(comm, (int)status);
        }
    }
    int code = agreed != STATUS_OK ? (int)agreed : (int)status;
    comm_close(comm);
    return code;
}

static int run_on_group(const command_t *command, int argc, char **argv) {
    comm_t *comm = NULL;
    comm_config_t config = {.timeout_s = 60.0};
    status_t status = comm_open(&config, &comm);
    if (status != STATUS_OK) {
        log_error("%s", status_text());
        return (int)status;
    }
    log_quiet(comm_rank(comm) != 0);
    status = same_command(comm, command->name);
    if (status != STATUS_OK) {
        return finish(comm, status);
    }
    if (command->collective || comm_size(comm) == 1) {
        status = run_command(comm, command, argc, argv);
    } else {
        status = comm_rank(comm) == 0 ? run_command(comm, command, argc, argv) : STATUS_OK;
        status = comm_agree(comm, status, command->name);
    }
    return finish(comm, status);
}

static status_t refuse_command(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    const char *word = arguments->positional[0];
    const command_t *nearest = command_nearest(word);
    if (nearest != NULL) {
        return status_fail(STATUS_INPUT, "unknown command '%s'; did you mean %s? (jmt --help)",
                           word, nearest->name);
    }
    return status_fail(STATUS_INPUT, "unknown command '%s'; jmt --help lists them", word);
}

static const option_t no_options[] = {OPTION_END};
static const command_t unknown_command = {
    .name = "start",
    .options = no_options,
    .positional_max = POSITIONALS_MAX,
    .rest = true,
    .run = refuse_command,
};

/* For what is printed without a group. */
static int printed(void) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        log_error("cannot write to standard output");
        return (int)STATUS_FAILED;
    }
    return 0;
}

static int print_version(bool json) {
    char *text = version_json();
    if (json) {
        printf("%s\n", text);
    } else {
        printf("jmt %s\n", JMT_VERSION);
    }
    free(text);
    return printed();
}

/* Large blocks come from the system and go back to it: else what one phase has given back stays in
 * the heap beneath the next, and the peak is that of both. */
static void return_large_blocks(void) {
    enum { LARGE_BYTES = 1 << 18 };
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

/* In a job, and where `jmt launch` starts one, other processes draw on the same terminal. */
static void set_up_log(bool job) {
    terminal_t terminal = terminal_of(stderr);
    log_terminal(&(log_terminal_t){.redraws = terminal.redraws,
                                   .colour = terminal.colour,
                                   .utf8 = terminal.utf8,
                                   .shared = job,
                                   .columns = terminal.columns});
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The word after `launch`, but not those of the command that it starts. */
static bool wants_help(const command_t *command, int argc, char **argv) {
    for (int i = 2; i < argc && (i == 2 || !command->rest); i++) {
        if (is_help(argv[i])) {
            return true;
        }
    }
    return false;
}

/* What needs no group: rank 0 of a job prints it, once, and none waits for another. False: it is
 * something else. */
static bool print_page(int argc, char **argv, int *code_out) {
    const char *word = argc > 1 ? argv[1] : "";
    const command_t *of = argc > 2 && strcmp(word, "help") == 0 ? command_find(argv[2]) : NULL;
    const command_t *command = command_find(word);
    bool asked = command != NULL && wants_help(command, argc, argv);
    bool help = is_help(word) || (strcmp(word, "help") == 0 && (argc == 2 || of != NULL));
    bool version = strcmp(word, "--version") == 0, man = strcmp(word, "--man") == 0;
    if (!asked && !help && !version && !man && argc > 1) {
        return false;
    }
    *code_out = argc > 1 ? 0 : (int)STATUS_INPUT;
    if (terminal_job_rank() != 0) {
        return true;
    }
    if (version) {
        *code_out = print_version(argc > 2 && strcmp(argv[2], "--json") == 0);
    } else if (man) {
        help_man(stdout);
        *code_out = printed();
    } else if (asked || of != NULL) {
        help_command(stdout, asked ? command : of);
        *code_out = printed();
    } else {
        help_all(argc > 1 ? stdout : stderr);
        *code_out = argc > 1 ? printed() : *code_out;
    }
    return true;
}

int main(int argc, char **argv) {
    return_large_blocks();
    int code = 0;
    const command_t *command = argc > 1 ? command_find(argv[1]) : NULL;
    set_up_log(terminal_in_job() || command == &command_launch);
    if (print_page(argc, argv, &code)) {
        return code;
    }
    if (command == NULL) {
        return run_on_group(&unknown_command, argc - 1, argv + 1);
    }
    if (command == &command_train || command == &command_cv) {
        train_catch_signals();
    }
    return run_on_group(command, argc - 2, argv + 2);
}
