/**
 * Fuzz targets: a target passes any bytes to a reader, which may refuse them but must neither crash
 * nor hang, nor refuse them without a message.
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

/** Runs the reader. Aborts if it breaks a rule. Returns true if it accepted the bytes. */
bool target_run(const uint8_t *data, size_t bytes);

/** Aborts with a message unless the condition holds. */
void target_require(bool condition, const char *rule);

/** Requires that exactly a failure has a message; returns true if `status` is RN_OK. */
bool target_is_ok(rn_status status, const rn_err *err);

/** Returns the path of a file in memory with this content, valid until the next call. */
const char *target_file(const void *data, size_t bytes);

#endif
