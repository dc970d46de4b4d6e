/* manifest.csv of the importer "features" beside three tables; what is imported verifies. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/import.h"
#include "data-sharding/verify.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static void check_imported(const char *path) {
    verify_report_t report;
    REQUIRE(shard_verify_dir(path, &report) == STATUS_OK);
    REQUIRE(report.bad_count == 0 && report.files > 2);
    verify_report_free(&report);
}

static void write_tables(const char *dir) {
    static const char npy[] = "\x93NUMPY\x01\0\x3c\0{'descr': '|i1', 'fortran_order': False, "
                              "'shape': (2, 2), }\n\1\2\3\4";
    static const char wide[] = "x,y\n1,2\n3,\n5,6\n", flat[] = "frame,label\n1,0.25\n3,0.75\n";
    fuzz_write(dir, "a.csv", wide, strlen(wide));
    fuzz_write(dir, "y.csv", flat, strlen(flat));
    fuzz_write(dir, "b.npy", npy, sizeof npy - 1);
}

bool fuzz_features(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make(), *out = fuzz_path(dir, "out");
    write_tables(dir);
    fuzz_write(dir, "manifest.csv", data, bytes);
    const char *const sets[] = {"salt=s", "first_frame=0"};
    bool accepted = import_run("features", dir, out, sets, 2) == STATUS_OK;
    if (accepted) {
        check_imported(out);
    }
    free(out);
    fuzz_dir_remove(dir);
    return accepted;
}
