/* check.h - what every test program includes: cmocka with its prerequisites, printing TAP. */
#ifndef JMT_CHECK_H
#define JMT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/base/status.h"

/* A call that must succeed; shows the error's text when it does not. */
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        status_t check_status_ = (call);                                                           \
        if (check_status_ != STATUS_OK) {                                                          \
            fail_msg("%s: status %d: %s", #call, (int)check_status_, status_text());               \
        }                                                                                          \
    } while (0)

/* A call that must fail with this status and a text that contains `part`. */
#define CHECK_FAILS(call, status, part)                                                            \
    do {                                                                                           \
        status_t check_status_ = (call);                                                           \
        if (check_status_ != (status) || strstr(status_text(), (part)) == NULL) {                  \
            fail_msg("%s: status %d, text \"%s\"; expected %d with \"%s\"", #call,                 \
                     (int)check_status_, status_text(), (int)(status), (part));                    \
        }                                                                                          \
    } while (0)

#define RUN_TESTS(tests)                                                                           \
    (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL))

#endif
