/* status.h - what a function that can fail returns, and the one line that says why.
 *
 * The first function that knows the cause calls status_fail(); everyone above passes the status on
 * with TRY. The text is kept per thread (like errno, and the only such state of the program) until
 * main prints it: never print an error below main, so that a job of many ranks prints exactly one
 * line. */
#ifndef JMT_BASE_STATUS_H
#define JMT_BASE_STATUS_H

/*        name         exit  meaning */
#define STATUS_LIST(X)                                                                             \
    X(OK, 0, "done")                                                                               \
    X(FAILED, 1, "failed: a full disk, a lost rank, damaged data")                                 \
    X(INPUT, 2, "usage, configuration or bad input")                                               \
    X(UNAVAILABLE, 3, "not in this build or on this machine")                                      \
    X(STOPPED, 75, "stopped, resumable")                                                           \
    X(PEER, 200, "another rank failed and reports it")

#define STATUS_ENUM_(name, code, text) STATUS_##name = (code),
typedef enum { STATUS_LIST(STATUS_ENUM_) } status_t;

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* Keeps the text of an error (one line, no trailing newline: "CAUSE; REMEDY") and returns `status`.
 * A control character, which only a quoted name can bring, is kept as a space.
 * A second status_fail() on the same thread replaces the text: call it only where the cause is
 * known. */
status_t status_fail(status_t status, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same with strerror(errno) after the text, and a remedy for that unless the format has one:
 * "cannot open X: No such file or directory; check the path". */
status_t status_fail_errno(status_t status, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " before the kept text. */
status_t status_prefix(status_t status, const char *format, ...) PRINTF_LIKE(2, 3);

/* The text kept last on this thread; "" if none. */
const char *status_text(void);

#define TRY(call)                                                                                  \
    do {                                                                                           \
        status_t try_status_ = (call);                                                             \
        if (try_status_ != STATUS_OK) {                                                            \
            return try_status_;                                                                    \
        }                                                                                          \
    } while (0)

#define TRY_GOTO(variable, call, label)                                                            \
    do {                                                                                           \
        (variable) = (call);                                                                       \
        if ((variable) != STATUS_OK) {                                                             \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

/* REQUIRE is for our own mistakes and is always on; status_t is for the world's. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            panic(__FILE__, __LINE__, #condition);                                                 \
        }                                                                                          \
    } while (0)
__attribute__((noreturn)) void panic(const char *file, int line, const char *condition);

/* Ends the program (exit 1) with the line that says how much was asked for. */
__attribute__((noreturn)) void panic_memory(double bytes);

#endif
