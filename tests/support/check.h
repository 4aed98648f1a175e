/**
 * Checks that stay on in release, report all that fails, and end a test with the right exit code.
 *
 * A test is a program: its file opens with the claim, its main ends with `return check_result();`.
 * Under MPI the caller passes the maximum over ranks through check_failures().
 */
#ifndef RN_TESTS_SUPPORT_CHECK_H
#define RN_TESTS_SUPPORT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Fails, with the condition's text. */
#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

/** Fails unless the call gives RN_OK, with the error's text; clears the error. */
#define CHECK_OK(err, call) check_ok((err), (call), #call, __FILE__, __LINE__)

/** Fails unless the call gives `status` and its text contains every word of `words` ("a|b"). */
#define CHECK_FAILS(err, status, words, call) \
  check_fails((err), (status), (words), (call), #call, __FILE__, __LINE__)

/** Integers are equal. */
#define CHECK_EQUAL(got, want) \
  check_equal((int64_t)(got), (int64_t)(want), #got, __FILE__, __LINE__)

/** |got - want| <= tolerance * max(1, |want|). */
#define CHECK_NEAR(got, want, tolerance) \
  check_near((got), (want), (tolerance), #got, __FILE__, __LINE__)

/** |got - want| <= tolerance * |want|: also where |want| is small. */
#define CHECK_RELATIVE(got, want, tolerance) \
  check_relative((got), (want), (tolerance), #got, __FILE__, __LINE__)

/** max|got - want| <= tolerance * max|want|, and nothing is NaN. */
#define CHECK_ARRAY(what, got, want, count, tolerance) \
  _Generic((got), float *: check_array_f32, const float *: check_array_f32,         \
           double *: check_array_f64, const double *: check_array_f64)(             \
      (what), (got), (want), (count), (tolerance), __FILE__, __LINE__)

bool check_that(bool holds, const char *text, const char *file, int line);
bool check_ok(rn_err *err, rn_status status, const char *call, const char *file, int line);
bool check_fails(rn_err *err, rn_status want, const char *words, rn_status got, const char *call,
                 const char *file, int line);
bool check_equal(int64_t got, int64_t want, const char *text, const char *file, int line);
bool check_near(double got, double want, double tolerance, const char *text, const char *file,
                int line);
bool check_relative(double got, double want, double tolerance, const char *text, const char *file,
                    int line);
bool check_array_f32(const char *what, const float *got, const float *want, int64_t count,
                     double tolerance, const char *file, int line);
bool check_array_f64(const char *what, const double *got, const double *want, int64_t count,
                     double tolerance, const char *file, int line);

/** How many checks failed in this process so far. */
int check_failures(void);

/** Prints the tally; 0 when checks ran and none failed. */
int check_result(void);

#endif
