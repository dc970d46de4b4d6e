#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

struct sha256 {
    EVP_MD_CTX *context;
};

sha256_t *sha256_open(void) {
    sha256_t *hash = alloc_zero(1, sizeof *hash);
    hash->context = EVP_MD_CTX_new();
    REQUIRE(hash->context != NULL);
    REQUIRE(EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) == 1);
    return hash;
}

void sha256_add(sha256_t *hash, const void *data, size_t bytes) {
    REQUIRE(EVP_DigestUpdate(hash->context, data, bytes) == 1);
}

void sha256_close(sha256_t *hash, char text_out[SHA256_TEXT_BYTES]) {
    if (hash == NULL) {
        return;
    }
    unsigned char digest[32];
    unsigned int length = 0;
    REQUIRE(EVP_DigestFinal_ex(hash->context, digest, &length) == 1 && length == sizeof digest);
    EVP_MD_CTX_free(hash->context);
    free(hash);
    for (int i = 0; text_out != NULL && i < 32; i++) {
        snprintf(text_out + 2 * i, 3, "%02x", digest[i]);
    }
}

void sha256_memory(const void *data, size_t bytes, char text_out[SHA256_TEXT_BYTES]) {
    sha256_t *hash = sha256_open();
    sha256_add(hash, data, bytes);
    sha256_close(hash, text_out);
}

status_t sha256_file(const char *path, char text_out[SHA256_TEXT_BYTES]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot open %s", path);
    }
    sha256_t *hash = sha256_open();
    enum { PIECE_BYTES = 1 << 18 };
    char *piece = alloc_zero(PIECE_BYTES, 1);
    ssize_t got = read(fd, piece, PIECE_BYTES);
    while (got > 0) {
        sha256_add(hash, piece, (size_t)got);
        got = read(fd, piece, PIECE_BYTES);
    }
    free(piece);
    sha256_close(hash, text_out);
    status_t status =
        got == 0 ? STATUS_OK : status_fail_errno(STATUS_FAILED, "cannot read %s", path);
    close(fd);
    return status;
}
