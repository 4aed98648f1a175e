/**
 * Defines check macros for tests. They are active in release builds too, report every failure, and
 * determine the exit code.
 *
 * A test is a program: its file opens with the claim, and its main() returns check_result(). An MPI
 * test returns an error if check_failures() > 0 on any rank.
 */
#ifndef RN_TESTS_SUPPORT_CHECK_H
#define RN_TESTS_SUPPORT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Fails if the condition is false; prints its text. */
#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

/** Fails unless the call returns RN_OK; prints and clears the error. */
#define CHECK_OK(err, call) check_ok((err), (call), #call, __FILE__, __LINE__)

/** Fails unless the call returns `status` and the error text contains every word of "a|b|...". */
#define CHECK_FAILS(err, status, words, call) \
  check_fails((err), (status), (words), (call), #call, __FILE__, __LINE__)

/** Fails unless the integers are equal. */
#define CHECK_EQUAL(got, want) \
  check_equal((int64_t)(got), (int64_t)(want), #got, __FILE__, __LINE__)

/** Fails unless |got - want| <= tolerance * max(1, |want|). */
#define CHECK_NEAR(got, want, tolerance) \
  check_near((got), (want), (tolerance), #got, __FILE__, __LINE__)

/** Fails unless |got - want| <= tolerance * |want|, also for small |want|. */
#define CHECK_RELATIVE(got, want, tolerance) \
  check_relative((got), (want), (tolerance), #got, __FILE__, __LINE__)

/** Fails unless max|got - want| <= tolerance * max|want| and no element is NaN. */
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

/** Returns the number of failed checks in this process so far. */
int check_failures(void);

/** Prints the number of checks and failures; returns 0 if checks ran and none failed, else 1. */
int check_result(void);

#endif
