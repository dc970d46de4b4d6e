/* Tables of numbers: .npz, .npy, pickles, an older .pt, ARFF or CSV, by how the bytes begin. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "data-sharding/matrix_file.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static bool begins(const uint8_t *data, size_t bytes, const char *magic) {
    return bytes >= strlen(magic) && memcmp(data, magic, strlen(magic)) == 0;
}

static bool read_one(const char *path, const char *member, int header, bool timed) {
    matrix_t m = {0};
    const matrix_rules_t rules = {header, header > 0, timed};
    if (matrix_read(path, member, &rules, &m) != STATUS_OK) {
        return false;
    }
    REQUIRE(m.rows >= 0 && m.columns > 0);
    REQUIRE(m.rate_hz >= 0.0 && isfinite(m.rate_hz) && isfinite(m.start_s));
    for (int64_t i = 0; i < m.rows * m.columns; i++) {
        REQUIRE(!m.valid[i / m.columns] || isfinite(m.values[i]));
    }
    matrix_free(&m);
    return true;
}

bool fuzz_matrix(const uint8_t *data, size_t bytes) {
    const char *name = begins(data, bytes, "PK")                              ? "it.npz"
                       : begins(data, bytes, "\x93NUMPY")                     ? "it.npy"
                       : begins(data, bytes, "\x80\x02\x8a")                  ? "it.pt"
                       : begins(data, bytes, "\x80")                          ? "it.pkl"
                       : begins(data, bytes, "@") || begins(data, bytes, "%") ? "it.arff"
                                                                              : "it.csv";
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, name);
    fuzz_write(dir, name, data, bytes);
    bool whole = read_one(path, "", -1, false), member = read_one(path, "a", -1, false);
    whole = read_one(path, "", 0, false) || whole;
    whole = read_one(path, "", 1, false) || whole;
    whole = read_one(path, "", -1, true) || whole;
    free(path);
    fuzz_dir_remove(dir);
    return whole || member;
}
