/* main.c - finds the subcommand, runs it, turns its status into the exit code. Nothing else
 * exits. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "trainer/train.h"

static const command_t *const commands[] = {
    &command_train,   &command_cv,     &command_evaluate, &command_shard,
    &command_inspect, &command_export, &command_plan,     &command_step,
    &command_table,   &command_config, &command_doctor,   &command_launch,
};

static void print_usage(FILE *stream) {
    fprintf(stream,
            "jmt - joint multimodal transformers for emotion and pain, on many ranks\n\n"
            "usage: jmt COMMAND ...      jmt COMMAND --help      jmt --version [--json]\n\n");
    for (int i = 0; i < ARRAY_LEN(commands); i++) {
        fprintf(stream, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(stream,
            "\nexit codes: 0 done, 1 failed, 2 usage or bad input, 3 not in this build or on "
            "this machine, 75 stopped, resumable\n");
}

static void print_help(const command_t *command) {
    printf("usage: jmt %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
    if (command->help[0] != '\0') {
        printf("\n%s\n", command->help);
    }
    printf("\n");
    for (const option_t *option = command->options; option->name != NULL; option++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", option->name,
                 option->value != NULL ? option->value : "");
        printf("  %-24s %s\n", left, option->help);
    }
}

static const command_t *find_command(const char *name) {
    for (int i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

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
    TRY(arguments_parse(argc, argv, command->options, command->positional_min,
                        command->positional_max, command->rest, &arguments));
    return command->run(comm, &arguments);
}

/* A collective command agrees on its own errors as it goes; one that ends otherwise has broken the
 * group, and the others must not wait for it. */
static int finish(comm_t *comm, status_t status) {
    status_t agreed = comm_exit_status(comm);
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        status = status_fail_errno(STATUS_FAILED, "cannot write to standard output");
    }
    bool silent = status == STATUS_PEER || status_text()[0] == '\0'; /* said by another process */
    if (status != STATUS_OK && !silent) {
        fprintf(stderr, "jmt: error: %s\n", status_text());
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
        fprintf(stderr, "jmt: error: %s\n", status_text());
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
    return status_fail(STATUS_INPUT, "unknown command '%s'; jmt --help lists them",
                       arguments->positional[0]);
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
        fprintf(stderr, "jmt: error: cannot write to standard output\n");
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

int main(int argc, char **argv) {
    return_large_blocks();
    if (argc < 2) {
        print_usage(stderr);
        return (int)STATUS_INPUT;
    }
    bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
    if (strcmp(argv[1], "--version") == 0) {
        return print_version(json);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return printed();
    }
    const command_t *command = find_command(argv[1]);
    if (command == NULL) {
        return run_on_group(&unknown_command, argc - 1, argv + 1);
    }
    if (command == &command_train || command == &command_cv) {
        train_catch_signals();
    }
    for (int i = 2; i < (command->rest && argc > 3 ? 3 : argc); i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(command);
            return printed();
        }
    }
    return run_on_group(command, argc - 2, argv + 2);
}
