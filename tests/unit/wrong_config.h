/* wrong_config.h - what is said of a wrong configuration, to the letter. */
#ifndef JMT_TEST_WRONG_CONFIG_H
#define JMT_TEST_WRONG_CONFIG_H

#include <string.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/bytes.h"

typedef struct wrong {
    const char *yaml, *place_and_cause; /* behind "t.yaml" */
} wrong_t;

static inline void check_wrong(const wrong_t *cases, int count, status_t expected) {
    for (int i = 0; i < count; i++) {
        config_t *config = NULL;
        status_t status = config_parse(cases[i].yaml, "t.yaml", NULL, 0, &config);
        if (status != expected || strncmp(status_text(), "t.yaml", 6) != 0 ||
            strcmp(status_text() + 6, cases[i].place_and_cause) != 0) {
            fail_msg("%s\nstatus %d\ngot      %s\nexpected t.yaml%s", cases[i].yaml, (int)status,
                     status_text(), cases[i].place_and_cause);
        }
        assert_null(config);
        assert_true(strpbrk(status_text(), "\n\r") == NULL);
    }
}
#define CHECK_ALL(cases, status) check_wrong(cases, ARRAY_LEN(cases), status)

/* Two modalities and two targets; what follows begins at line 3. */
#define DATA                                                                                       \
    "modalities: {a: {dim: 4}, b: {}}\ntargets: {x: {}, y: {loss: cross_entropy, classes: 3}}\n"

#endif
