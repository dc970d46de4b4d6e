#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "launch/command.h"
#include "launch/mca.h"
#include "launch/terminal.h"

static const option_t options[] = {
    {"-n", "R", "ranks"},
    {"--hosts", "H1,H2", "hosts (default: this one, or the job's allocation)"},
    OPTION_END,
};

enum { WORDS_MAX = POSITIONALS_MAX + 64 };
typedef struct line {
    char *words[WORDS_MAX];
    int count;
} line_t;

static void add(line_t *line, const char *word) {
    REQUIRE(line->count < WORDS_MAX - 1);
    line->words[line->count++] = (char *)word;
    line->words[line->count] = NULL;
}

static void add_settings(line_t *line, const char *const settings[][2], int count) {
    for (int i = 0; i < count; i++) {
        if (!mca_is_asked(settings[i][0], settings[i][1])) {
            add(line, "--mca");
            add(line, settings[i][0]);
            add(line, settings[i][1]);
        }
    }
}

/* Ranks of one host need shared memory and one way of matching messages; opening the rest takes a
 * good part of the start. Who names hosts, or has an allocation, keeps it all. */
static void add_one_host(line_t *line) {
    static const char *const allocations[] = {"PBS_NODEFILE", "PE_HOSTFILE", "LSB_DJOB_HOSTFILE",
                                              "OMPI_MCA_orte_default_hostfile"};
    static const char *const settings[][2] = {
        {"pml", "ob1"},
        {"btl", "self,vader,tcp"},
        {"osc", "^ucx,pt2pt,rdma"},
        {"io", "^romio321"},
        {"coll", "self,basic,libnbc,tuned,inter"},
        {"topo", "basic"},
    };
    static const char *const matching[][2] = {{"mtl", "^ofi,psm,psm2"}};
    for (int i = 0; i < ARRAY_LEN(allocations); i++) {
        if (getenv(allocations[i]) != NULL) {
            return;
        }
    }
    add_settings(line, settings, ARRAY_LEN(settings));
    if (!mca_is_asked(settings[0][0], settings[0][1])) { /* another pml may need an mtl */
        add_settings(line, matching, ARRAY_LEN(matching));
    }
}

/* Ranks on lost hosts are noticed within seconds; ranks may outnumber cores. */
static void add_mpirun(line_t *line, const char *ranks, const char *hosts) {
    static const char *const fixed[] = {"mpirun", "-q", "--bind-to", "none", "--oversubscribe"};
    static const char *const settings[][2] = {
        {"oob_tcp_keepalive_time", "3"},
        {"oob_tcp_keepalive_intvl", "1"},
        {"oob_tcp_keepalive_probes", "3"},
        {"mpi_yield_when_idle", "1"},
    };
    for (int i = 0; i < ARRAY_LEN(fixed); i++) {
        add(line, fixed[i]);
    }
    add_settings(line, settings, ARRAY_LEN(settings));
    if (geteuid() == 0) {
        add(line, "--allow-run-as-root");
    }
    if (hosts != NULL) {
        add(line, "--host");
        add(line, hosts);
    } else {
        add_one_host(line);
    }
    add(line, "-n");
    add(line, ranks);
}

static void add_srun(line_t *line, const char *ranks, const char *hosts) {
    add(line, "srun");
    add(line, "--mpi=pmix");
    if (hosts != NULL) {
        add(line, "-w");
        add(line, hosts);
    }
    add(line, "-n");
    add(line, ranks);
}

static const double START_S = 1.5; /* from fork to the ranks' own handlers, with room */

/* Never returns. The process group is its own, so that Ctrl-C reaches us alone and is passed on as
 * a wish to stop; nobody reads the terminal then. Should we be killed, the job ends too. */
_Noreturn static void become(line_t *line, const sigset_t *mask) {
    int nothing = open("/dev/null", O_RDONLY);
    sigprocmask(SIG_SETMASK, mask, NULL);
    signal(SIGUSR1, SIG_IGN); /* until mpirun, and then the ranks, have handlers of their own */
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && nothing >= 0 &&
        dup2(nothing, STDIN_FILENO) == STDIN_FILENO) {
        execvp(line->words[0], line->words);
    }
    _exit(127);
}

/* Ctrl-Z: mpirun stops the ranks, then we stop, and whoever continues us continues them. */
static void pause_job(pid_t child) {
    kill(child, SIGTSTP);
    raise(SIGSTOP);
    kill(child, SIGCONT);
}

/* The first signal asks the ranks to save and stop (mpirun and srun hand SIGUSR1 on; to SIGTERM
 * mpirun itself answers by killing them within a second); from the second on the job is ended. The
 * wish is repeated, because a job that is still starting does not hear it, and held back at first,
 * because a rank that is still being loaded would die of it. */
static int wait_and_forward(pid_t child, const sigset_t *signals) {
    const struct timespec pause = {.tv_nsec = 500000000};
    double heard_s = clock_s() + START_S;
    int state = 0;
    bool asked = false;
    while (waitpid(child, &state, WNOHANG) == 0) {
        int number = asked ? sigtimedwait(signals, NULL, &pause) : sigwaitinfo(signals, NULL);
        if (number == SIGTSTP) {
            pause_job(child);
        }
        bool wish = number > 0 && number != SIGCHLD && number != SIGTSTP;
        if (wish && asked && number != SIGUSR1) {
            kill(child, SIGTERM);
        } else if ((wish || asked) && clock_s() > heard_s) {
            kill(child, SIGUSR1);
        }
        asked |= wish;
    }
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* Its exit code is ours. A rank killed by a signal left no line: say it. */
static status_t supervise(line_t *line) {
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTSTP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        become(line, &before);
    }
    int error = errno, code = child > 0 ? wait_and_forward(child, &signals) : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    if (child < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot start %s", line->words[0]);
    }
    if (code == 127) {
        return status_fail(STATUS_UNAVAILABLE, "cannot run %s; install it or load its module",
                           line->words[0]);
    }
    if (code > 128) {
        return status_fail(STATUS_FAILED,
                           "a rank was lost (exit code %d); start again with --resume auto", code);
    }
    return code == 0 ? STATUS_OK : status_fail((status_t)code, "%s", "");
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    if (comm_size(comm) > 1) {
        return status_fail(STATUS_INPUT, "launch starts a job and this is one already; leave out "
                                         "the outer mpirun or launch");
    }
    int64_t ranks = 0;
    TRY(arguments_integer(arguments, "-n", 1, 1 << 20, 0, &ranks));
    if (ranks == 0 || arguments->positional_count == 0) {
        return status_fail(STATUS_INPUT, "usage: jmt launch -n R [--hosts H1,H2] COMMAND ...");
    }
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot find this program's own path");
    }
    self[length] = '\0';
    char *number = text_format("%lld", (long long)ranks);
    line_t line = {.count = 0};
    const char *hosts = arguments_value(arguments, "--hosts");
    bool slurm = getenv("SLURM_JOB_ID") != NULL;
    if (slurm) {
        add_srun(&line, number, hosts);
    } else {
        add_mpirun(&line, number, hosts);
        if (hosts != NULL && getenv("OMPI_MCA_mca_base_env_list") == NULL) { /* not both */
            add(&line, "-x");
            add(&line, TERMINAL_HINT);
            add(&line, "-x");
            add(&line, COMM_SUPERVISED);
        }
    }
    add(&line, self);
    for (int i = 0; i < arguments->positional_count; i++) {
        add(&line, arguments->positional[i]);
    }
    terminal_hint_set();
    setenv(COMM_SUPERVISED, "1", 1);
    status_t status = supervise(&line);
    free(number);
    return status;
}

static const example_t examples[] = {
    {"jmt launch -n 2 train configs/tiny/jmt.yaml --run runs/two", ""},
    {"jmt launch -n 8 --hosts node1:4,node2:4 train configs/full/jmt.yaml --run runs/full",
     "program, data and run directory at the same paths on all hosts"},
    EXAMPLE_END,
};

const command_t command_launch = {
    .name = "launch",
    .group = GROUP_TRAIN,
    .synopsis = "-n R [--hosts H1,H2] COMMAND ...",
    .summary = "run a command of jmt on R ranks",
    .help = "COMMAND is any command of jmt with its options. Within a Slurm job it goes over srun, "
            "elsewhere over mpirun, with the options that root, lost hosts and more ranks than "
            "cores need.\nThe first Ctrl-C, SIGTERM or SIGUSR1 asks the ranks to save and stop "
            "(exit code 75); a second Ctrl-C or SIGTERM ends the job at once. Ctrl-Z stops the "
            "ranks too, until fg or bg.",
    .options = options,
    .examples = examples,
    .exit_codes = "those of COMMAND; 1 also if a rank was lost, 3 if there is no mpirun or srun.",
    .positional_min = 1,
    .positional_max = POSITIONALS_MAX,
    .rest = true,
    .run = run,
};
