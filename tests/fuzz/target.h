/**
 * Fuzz targets. A target passes arbitrary bytes to a reader. The reader may refuse them with a
 * message, but must neither crash nor hang.
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

/** Requires a message if and only if `status` is a failure; returns true if it is RN_OK. */
bool target_is_ok(rn_status status, const rn_err *err);

/** Creates a file in memory with this content. Returns its path, which is valid until the next
 * call. */
const char *target_file(const void *data, size_t bytes);

#endif
