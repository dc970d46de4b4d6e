#include "launch/arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"

static int option_index(const option_t *options, const char *name, size_t length) {
    for (int i = 0; options[i].name != NULL; i++) {
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

/* The option that was meant: misspelt, or not written to its end. NULL: none comes near. */
static const char *nearest(const option_t *options, const char *word, size_t length) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    const char *best = NULL;
    int best_distance = (int)length / 3 + 1;
    for (int i = 0; options[i].name != NULL; i++) {
        bool begins = length > 3 && strncmp(options[i].name, name, strlen(name)) == 0;
        int distance = begins ? 0 : text_distance(name, options[i].name);
        if (distance < best_distance) {
            best_distance = distance;
            best = options[i].name;
        }
    }
    return best;
}

static status_t take_option(int argc, char **argv, int *at, arguments_t *out) {
    const char *word = argv[*at], *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    int index = option_index(out->options, word, length);
    if (index < 0) {
        const char *meant = nearest(out->options, word, length);
        return status_fail(STATUS_INPUT, "unknown option %.*s%s%s%s", (int)length, word,
                           meant != NULL ? ", did you mean " : "", meant != NULL ? meant : "",
                           meant != NULL ? "?" : "");
    }
    const option_t *option = &out->options[index];
    if (out->counts[index] == OPTION_VALUES_MAX) {
        return status_fail(STATUS_INPUT, "%s is given too often", option->name);
    }
    const char *value = "";
    bool optional = option->value != NULL && option->value[0] == '[';
    if (option->value == NULL && equals != NULL) {
        return status_fail(STATUS_INPUT, "%s takes no value", option->name);
    }
    if (equals != NULL) {
        value = equals + 1;
    } else if (option->value != NULL && *at + 1 < argc &&
               !(optional && strncmp(argv[*at + 1], "--", 2) == 0)) {
        value = argv[++*at];
    } else if (option->value != NULL && !optional) {
        return status_fail(STATUS_INPUT, "%s needs a value %s", option->name, option->value);
    }
    out->values[index][out->counts[index]++] = value;
    return STATUS_OK;
}

static bool looks_like_option(const char *word) { return word[0] == '-' && word[1] != '\0'; }

status_t arguments_parse(int argc, char **argv, const option_t *options, int positional_min,
                         int positional_max, bool rest, arguments_t *arguments_out) {
    arguments_t out = {.options = options};
    for (int i = 0; i < argc; i++) {
        bool verbatim = rest && out.positional_count > 0;
        if (looks_like_option(argv[i]) && !verbatim) {
            TRY(take_option(argc, argv, &i, &out));
        } else if (out.positional_count < positional_max) {
            out.positional[out.positional_count++] = argv[i];
        } else {
            return status_fail(STATUS_INPUT, "unexpected argument '%s'", argv[i]);
        }
    }
    if (out.positional_count < positional_min) {
        return status_fail(STATUS_INPUT, "too few arguments");
    }
    *arguments_out = out;
    return STATUS_OK;
}

bool arguments_has(const arguments_t *arguments, const char *name) {
    int index = option_index(arguments->options, name, strlen(name));
    REQUIRE(index >= 0);
    return arguments->counts[index] > 0;
}

const char *arguments_value(const arguments_t *arguments, const char *name) {
    int count = 0;
    const char *const *values = arguments_values(arguments, name, &count);
    return count > 0 ? values[count - 1] : NULL;
}

const char *const *arguments_values(const arguments_t *arguments, const char *name,
                                    int *count_out) {
    int index = option_index(arguments->options, name, strlen(name));
    REQUIRE(index >= 0);
    *count_out = arguments->counts[index];
    return arguments->values[index];
}

status_t arguments_integer(const arguments_t *arguments, const char *name, int64_t min, int64_t max,
                           int64_t otherwise, int64_t *value_out) {
    const char *text = arguments_value(arguments, name);
    *value_out = otherwise;
    if (text == NULL || text[0] == '\0') {
        return STATUS_OK;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < min || value > max) {
        return status_fail(STATUS_INPUT, "%s %s: a whole number from %lld to %lld is expected",
                           name, text, (long long)min, (long long)max);
    }
    *value_out = value;
    return STATUS_OK;
}
