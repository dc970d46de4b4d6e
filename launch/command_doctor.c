#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/cuda.h"
#include "launch/command.h"
#include "launch/machine.h"
#include "launch/page.h"

static const double MIB = 1048576.0, GIB = 1073741824.0;
enum { FACT_INDENT = 14, FINDING_INDENT = 24 };

static const option_t options[] = {OPTION_JSON, OPTION_END};

char *version_json(void) {
    const char *isa = NULL;
    json_t *object = json_pack("{s:s, s:s, s:[s, s]}", "version", JMT_VERSION, "commit", JMT_COMMIT,
                               "backends", "ref", "cpu");
    if (cuda_is_built()) {
        json_array_append_new(json_object_get(object, "backends"), json_string("cuda"));
    }
    if (kernels_isa(&isa) == STATUS_OK) {
        json_object_set_new(object, "isa", json_string(isa));
    } else {
        json_object_set_new(object, "isa", json_null());
    }
    char *text = json_dumps(object, JSON_PRESERVE_ORDER);
    json_decref(object);
    return text;
}

/* --- findings -------------------------------------------------------------------------------- */

typedef enum { IS_OK, IS_NOTE, IS_BAD } state_t;
static const char *const state_names[] = {"ok", "note", "bad"};

typedef struct report {
    machine_t machine;
    const char *isa;
    int ranks, gpus;
    char cuda[512]; /* what there is of GPUs, or why there is none */
    char cuda_remedy[256];
    char mpirun[128];
    double mpi_start_s; /* two ranks, from launch to end; 0: not tried or in vain */
    json_t *findings;
} report_t;

static void find(report_t *report, state_t state, const char *what, const char *remedy,
                 const char *format, ...) PRINTF_LIKE(5, 6);
static void find(report_t *report, state_t state, const char *what, const char *remedy,
                 const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(report->findings,
                          json_pack("{s:s, s:s, s:s, s:s}", "state", state_names[state], "what",
                                    what, "text", text, "remedy", remedy));
}

static bool is_set(const char *name) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0';
}

static void check_processor(report_t *r) {
    if (is_set("JMT_ISA")) {
        find(r, IS_NOTE, "instructions", "unset JMT_ISA for the best that the processor has",
             "%s, because JMT_ISA asks for it", r->isa);
    } else if (strcmp(r->isa, "generic") == 0) {
        find(r, IS_NOTE, "instructions", "use a processor with AVX2 (x86-64 since about 2014)",
             "no AVX2: training is several times slower");
    } else {
        find(r, IS_OK, "instructions", "", "%s", r->isa);
    }
}

static void check_cores(report_t *r) {
    const machine_t *m = &r->machine;
    double usable = m->cores_allowed;
    if (m->cores_quota > 0.0 && m->cores_quota < usable) {
        usable = m->cores_quota;
        find(r, IS_NOTE, "cores", "give the container or job more (docker --cpus)",
             "%.2g of %d: a control group limits the time they may be used", usable, m->cores);
    } else if (m->cores_allowed < m->cores) {
        find(r, IS_NOTE, "cores",
             "start without taskset, with --cpus-per-task, or with mpirun --bind-to none",
             "%d of %d: the affinity mask allows no more", m->cores_allowed, m->cores);
    } else {
        find(r, IS_OK, "cores", "", "%d, all of which may be used", m->cores);
    }
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    int ranks = local != NULL ? (int)strtol(local, NULL, 10) : r->ranks;
    if (ranks > usable) {
        find(r, IS_NOTE, "ranks", "start no more ranks than cores, times threads",
             "%d on this host's %.2g cores: they take turns", ranks, usable);
    }
    if (ranks == 1 && m->cores_busy > 0.3 * m->cores) {
        find(r, IS_NOTE, "other programs",
             "let them end first, or start fewer ranks, with threads: 1",
             "use %.1f of %d cores now; ranks and threads that wait for each other suffer most",
             m->cores_busy, m->cores);
    }
    if (is_set("GOMP_CPU_AFFINITY") || is_set("OMP_PROC_BIND") || is_set("OMP_PLACES")) {
        find(r, IS_NOTE, "thread places", "unset GOMP_CPU_AFFINITY, OMP_PROC_BIND and OMP_PLACES",
             "the environment ties threads to cores; all ranks of a host get the same ones");
    }
}

static void check_memory(report_t *r) {
    const machine_t *m = &r->machine;
    double free_bytes = m->memory_available_bytes;
    if (m->memory_limit_bytes > 0.0) {
        free_bytes = free_bytes < m->memory_limit_bytes ? free_bytes : m->memory_limit_bytes;
        find(r, IS_NOTE, "memory limit", "raise ulimit -v, or the limit of the container or job",
             "%.1f of %.1f GiB: ulimit or a control group allows no more",
             m->memory_limit_bytes / GIB, m->memory_bytes / GIB);
    }
    if (free_bytes < 0.5 * GIB) {
        find(r, IS_NOTE, "memory", "end other programs; jmt plan CONFIG says what a training needs",
             "%.2f GiB available", free_bytes / GIB);
    } else {
        find(r, IS_OK, "memory", "", "%.1f GiB available", free_bytes / GIB);
    }
    if (!m->shared_writable) {
        find(r, IS_BAD, "shared memory", "mount a tmpfs on /dev/shm that you may write to",
             "/dev/shm cannot be written: several ranks on this host cannot run");
    } else if (m->shared_free_bytes < 0.25 * GIB) {
        find(r, IS_NOTE, "shared memory",
             "empty or enlarge /dev/shm (docker: --shm-size=2g); a model that does not fit is "
             "refused at the start",
             "%.0f MiB free in /dev/shm: enough for small models only", m->shared_free_bytes / MIB);
    } else {
        find(r, IS_OK, "shared memory", "", "%.1f GiB free in /dev/shm",
             m->shared_free_bytes / GIB);
    }
}

/* By doing it: this program on two ranks, as jmt launch starts them. */
static void check_start(report_t *r) {
    char self[4096], text[8192];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *const words[] = {self, "launch", "-n", "2", "doctor", "--json", NULL};
    double begin_s = clock_s();
    int code = machine_run(words, 60.0, text, sizeof text);
    double took_s = clock_s() - begin_s;
    if (code == 0 && strstr(text, "\"ranks\": 2") != NULL) {
        r->mpi_start_s = took_s;
        find(r, IS_OK, "several ranks", "", "%s; two ranks start and end in %.1f s",
             is_set("SLURM_JOB_ID") ? "srun" : r->mpirun, took_s);
        return;
    }
    text[strcspn(text, "\n")] = '\0';
    const char *head = "jmt: error: ";
    const char *said = strncmp(text, head, strlen(head)) == 0 ? text + strlen(head) : text;
    find(r, IS_BAD, "several ranks",
         code == (int)STATUS_UNAVAILABLE ? "install Open MPI or load its module"
                                         : "try: mpirun -n 2 hostname",
         "two ranks do not start (%s): one process works, jmt launch does not",
         code < 0          ? "nothing within a minute"
         : said[0] != '\0' ? said
                           : "no message");
}

static void check_mpi(report_t *r) {
    char *const words[] = {"mpirun", "--version", NULL};
    if (machine_run(words, 10.0, r->mpirun, sizeof r->mpirun) != 0) {
        snprintf(r->mpirun, sizeof r->mpirun, "not found");
    }
    r->mpirun[strcspn(r->mpirun, "\n")] = '\0';
    if (r->ranks == 1 && !terminal_in_job()) {
        check_start(r);
    }
    if (r->machine.reads_neighbours) {
        find(r, IS_OK, "single copy", "", "a rank may read another's memory (cma)");
    } else {
        find(r, IS_NOTE, "single copy",
             "sysctl kernel.yama.ptrace_scope=0, or docker --cap-add=SYS_PTRACE",
             "a rank may not read another's memory (cma): MPI copies long messages twice");
    }
}

/* GPUs that this process sees, and what one of them is. */
static void look_at_gpus(report_t *r) {
    const char *why = "";
    const device_t *device = NULL;
    r->gpus = cuda_is_built() ? cuda_device_count(&why) : 0;
    if (!cuda_is_built()) {
        snprintf(r->cuda, sizeof r->cuda, "not in this build");
    } else if (r->gpus == 0) { /* "CAUSE; REMEDY" */
        int cause = (int)strcspn(why, ";");
        snprintf(r->cuda, sizeof r->cuda, "%.*s", cause, why);
        snprintf(r->cuda_remedy, sizeof r->cuda_remedy, "%s",
                 why[cause] != '\0' ? why + cause + 2 : "use device: cpu");
    } else if (device_open("cuda", 0, 1, &device) != STATUS_OK) {
        snprintf(r->cuda, sizeof r->cuda, "%s", status_text());
    } else {
        snprintf(r->cuda, sizeof r->cuda, "%d x %s", r->gpus, device->kind);
        device_close(device);
    }
}

static void check_gpus(report_t *r) {
    look_at_gpus(r);
    if (!cuda_is_built()) {
        return; /* nothing is wrong with a machine that this build would not use */
    }
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    int ranks = local != NULL ? (int)strtol(local, NULL, 10) : r->ranks;
    if (r->gpus == 0) {
        find(r, IS_NOTE, "GPU", r->cuda_remedy, "%s", r->cuda);
    } else if (r->gpus > 1 && ranks > r->gpus) {
        find(r, IS_BAD, "GPU", "start at most one rank for each GPU",
             "%s on this host for %d ranks: they would be refused", r->cuda, ranks);
    } else {
        find(r, IS_OK, "GPU", "", "%s", r->cuda);
    }
}

static void check_rest(report_t *r) {
    const machine_t *m = &r->machine;
    if (m->clock_read_ns > 500.0) {
        find(r, IS_NOTE, "clock", "boot with clocksource=tsc",
             "%.0f ns for each look at the clock (%s): short steps are slowed down",
             m->clock_read_ns, m->clock_source);
    } else {
        find(r, IS_OK, "clock", "", "%s, %.0f ns for a look at it", m->clock_source,
             m->clock_read_ns);
    }
    if (m->files_max > 0 && m->files_max < 256) {
        find(r, IS_NOTE, "open files", "ulimit -n 1024", "at most %ld at once", m->files_max);
    }
    if (is_set("JMT_FAULT")) {
        find(r, IS_BAD, "JMT_FAULT", "unset JMT_FAULT",
             "is set: trainings are made to fail on purpose");
    }
}

/* --- the report ------------------------------------------------------------------------------ */

static json_t *describe(const report_t *r) {
    const machine_t *m = &r->machine;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:f, s:f, s:s}", "version", JMT_VERSION,
                  "host", m->host, "isa", r->isa, "cores", m->cores, "ranks", r->ranks,
                  "backend_ref", kernels_library_version("ref"), "backend_cpu",
                  kernels_library_version("cpu"), "shared_memory_free_mb",
                  m->shared_free_bytes / MIB, "memory_mb", m->memory_bytes / MIB, "cuda", r->cuda);
    json_object_set_new(object, "gpus", json_integer(r->gpus));
    json_object_set_new(object, "backend_cuda", json_string(kernels_library_version("cuda")));
    json_t *more = json_pack(
        "{s:s, s:s, s:i, s:f, s:f, s:f, s:s, s:s, s:b, s:s, s:f, s:s, s:O}", "commit", JMT_COMMIT,
        "processor", m->processor, "cores_allowed", m->cores_allowed, "cores_busy", m->cores_busy,
        "memory_available_mb", m->memory_available_bytes / MIB, "mpi_start_s", r->mpi_start_s,
        "mpirun", r->mpirun, "hdf5", JMT_HDF5, "single_copy", m->reads_neighbours, "clock_source",
        m->clock_source, "clock_read_ns", m->clock_read_ns, "huge_pages", m->huge_pages, "findings",
        r->findings);
    json_object_update(object, more);
    json_decref(more);
    return object;
}

static void print_finding(const page_t *page, const json_t *finding) {
    static const paint_t paints[] = {PAINT_GREEN, PAINT_YELLOW, PAINT_RED};
    const char *state = json_string_value(json_object_get(finding, "state"));
    const char *remedy = json_string_value(json_object_get(finding, "remedy"));
    const terminal_t *terminal = &page->terminal;
    int s = strcmp(state, "ok") == 0 ? IS_OK : strcmp(state, "note") == 0 ? IS_NOTE : IS_BAD;
    printf("  %s%-5s%s", paint(terminal, paints[s]), state, paint(terminal, PAINT_NONE));
    int indent = page->columns >= 60 ? FINDING_INDENT : 7;
    printf("%-*s", FINDING_INDENT - 7, json_string_value(json_object_get(finding, "what")));
    if (indent != FINDING_INDENT) {
        printf("\n%*s", indent, "");
    }
    page_wrap(page, indent, indent, json_string_value(json_object_get(finding, "text")));
    if (remedy[0] != '\0') {
        printf("%*s-> ", indent, "");
        page_wrap(page, indent + 3, indent + 3, remedy);
    }
}

static void print_report(const report_t *r) {
    const machine_t *m = &r->machine;
    page_t page = page_of(stdout);
    page_fact(&page, FACT_INDENT, "program",
              cuda_is_built() ? "jmt %s (%s), backends ref, cpu and cuda"
                              : "jmt %s (%s), backends ref and cpu, no GPU in this build",
              JMT_VERSION, JMT_COMMIT);
    page_fact(&page, FACT_INDENT, "libraries", "%s, HDF5 %s, mpirun: %s",
              kernels_library_version("cpu"), JMT_HDF5, r->mpirun);
    page_fact(&page, FACT_INDENT, "host", "%s, %s%s%d cores, %.1f GiB of memory", m->host,
              m->processor, m->processor[0] != '\0' ? ", " : "", m->cores, m->memory_bytes / GIB);
    printf("\n");
    size_t i;
    json_t *finding;
    json_array_foreach(r->findings, i, finding) { print_finding(&page, finding); }
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    report_t report = {.ranks = comm_size(comm)};
    TRY(kernels_isa(&report.isa));
    report.findings = json_array();
    machine_look(&report.machine);
    check_processor(&report);
    check_cores(&report);
    check_memory(&report);
    check_gpus(&report);
    check_mpi(&report);
    check_rest(&report);
    if (arguments_has(arguments, "--json")) {
        json_t *object = describe(&report);
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
        json_decref(object);
    } else {
        print_report(&report);
    }
    json_decref(report.findings);
    return STATUS_OK;
}

static const example_t examples[] = {
    {"jmt doctor", ""},
    {"jmt launch -n 4 doctor", "as rank 0 of a job sees it"},
    EXAMPLE_END,
};

const command_t command_doctor = {
    .name = "doctor",
    .group = GROUP_BEFORE,
    .synopsis = "[--json]",
    .summary = "what this machine can do, what is wrong, and what to do",
    .help =
        "Looks at instruction sets, cores that may be used, memory, shared memory, MPI (by "
        "starting two ranks), GPUs, and what else decides speed. ok is as it should be, note costs "
        "speed or needs care, bad must be mended before that part works.",
    .options = options,
    .examples = examples,
    .exit_codes = "0 also with notes; 3 if JMT_ISA asks for what this processor lacks.",
    .run = run,
};
