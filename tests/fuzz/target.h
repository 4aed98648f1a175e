/**
 * Declares the interface of fuzz targets. A target passes arbitrary bytes to a reader. The reader
 * may refuse them with a message, but must neither crash nor hang.
 *
 * Each target_*.c defines target_run. It is built twice: as a test with replay.c, which runs the
 * seed corpus and reproducible mutations of it; and, with clang and -DRN_LIBFUZZER=ON, as a
 * libFuzzer program with libfuzzer.c (tests/fuzz/run.sh).
 */
#ifndef RN_TESTS_FUZZ_TARGET_H
#define RN_TESTS_FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/**
 * Passes the bytes to the reader; returns true if it accepts them. Aborts if a requirement of the
 * target is not met.
 */
bool target_run(const uint8_t *data, size_t bytes);

/** Aborts with a message unless the condition holds. */
void target_require(bool condition, const char *rule);

/** Requires that `err` has a message if `status` is a failure, and none otherwise. Returns true if
 * `status` is RN_OK. */
bool target_is_ok(rn_status status, const rn_err *err);

/** Creates a file in memory with this content. Returns its path, which is valid until the next
 * call. */
const char *target_file(const void *data, size_t bytes);

/** Returns the path of a file in a temporary folder, which is removed at exit. Valid until the
 * program ends; the number of different names must be small. */
const char *target_path(const char *name);
/** Creates or replaces a file with this content. */
void target_write(const char *path, const void *data, size_t bytes);

/** Bytes in memory. */
typedef struct target_bytes {
  uint8_t *data;
  size_t count;
} target_bytes;

/** Allocates memory, or aborts. The caller frees it. */
void *target_memory(size_t bytes);
/** Copies the bytes. The caller frees the data of the result. */
target_bytes target_copy(target_bytes bytes);
/** Compresses the bytes into one zstd frame. The caller frees the data of the result. */
target_bytes target_pack(target_bytes raw);

/**
 * Divides an input into a message and the rest. The first two bytes (u16) are the number of bytes
 * of the message, which is limited to the bytes that follow. Returns false if there are no two
 * bytes. Ownership: the results are parts of `data`; they may not be changed.
 */
bool target_split(const uint8_t *data, size_t bytes, target_bytes *message, target_bytes *rest);

#endif
