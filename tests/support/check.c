#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int checks_run;
static int checks_failed;

static bool report(bool holds, const char *file, int line) {
  checks_run++;
  if (!holds) {
    checks_failed++;
    fprintf(stderr, "%s:%d: ", file, line);
  }
  return holds;
}

bool check_that(bool holds, const char *text, const char *file, int line) {
  if (!report(holds, file, line)) fprintf(stderr, "does not hold: %s\n", text);
  return holds;
}

bool check_ok(rn_err *err, rn_status status, const char *call, const char *file, int line) {
  if (!report(status == RN_OK, file, line)) {
    fprintf(stderr, "%s: %s: %s\n%s", call, rn_status_text(status), err->text, err->trace);
    rn_err_clear(err);
  }
  return status == RN_OK;
}

static bool contains_all(const char *text, const char *words) {
  char word[256];
  for (const char *start = words; *start != '\0';) {
    size_t length = strcspn(start, "|");
    snprintf(word, sizeof word, "%.*s", (int)length, start);
    if (strstr(text, word) == NULL) return false;
    start += length + (start[length] == '|');
  }
  return true;
}

bool check_fails(rn_err *err, rn_status want, const char *words, rn_status got, const char *call,
                 const char *file, int line) {
  bool holds = got == want && contains_all(err->text, words);
  if (!report(holds, file, line)) {
    fprintf(stderr, "%s: got \"%s\" (%s), want \"%s\" naming %s\n", call, rn_status_text(got),
            err->text, rn_status_text(want), words);
  }
  rn_err_clear(err);
  return holds;
}

bool check_equal(int64_t got, int64_t want, const char *text, const char *file, int line) {
  if (!report(got == want, file, line)) {
    fprintf(stderr, "%s is %lld, want %lld\n", text, (long long)got, (long long)want);
  }
  return got == want;
}

bool check_near(double got, double want, double tolerance, const char *text, const char *file,
                int line) {
  bool holds = fabs(got - want) <= tolerance * fmax(1.0, fabs(want));
  if (!report(holds, file, line)) {
    fprintf(stderr, "%s is %.17g, want %.17g within %g\n", text, got, want, tolerance);
  }
  return holds;
}

bool check_relative(double got, double want, double tolerance, const char *text, const char *file,
                    int line) {
  bool holds = fabs(got - want) <= tolerance * fabs(want);
  if (!report(holds, file, line)) {
    fprintf(stderr, "%s is %.17g, want %.17g within %g of it\n", text, got, want, tolerance);
  }
  return holds;
}

#define CHECK_ARRAY_BODY                                                                         \
  double worst = 0, scale = 0;                                                                   \
  int64_t where = 0;                                                                             \
  for (int64_t i = 0; i < count; i++) {                                                          \
    double difference = fabs((double)got[i] - (double)want[i]);                                  \
    if (!isnan(worst) && !(difference <= worst)) {                                               \
      worst = difference;                                                                        \
      where = i;                                                                                 \
    }                                                                                            \
    if (fabs((double)want[i]) > scale) scale = fabs((double)want[i]);                            \
  }                                                                                              \
  bool holds = worst <= tolerance * scale;                                                       \
  if (!report(holds, file, line)) {                                                              \
    fprintf(stderr, "%s[%lld] is %.9g, want %.9g: off by %.3g of %.3g, allowed %.3g\n", what,    \
            (long long)where, (double)got[where], (double)want[where], worst, scale, tolerance); \
  }                                                                                              \
  return holds

bool check_array_f32(const char *what, const float *got, const float *want, int64_t count,
                     double tolerance, const char *file, int line) {
  CHECK_ARRAY_BODY;
}

bool check_array_f64(const char *what, const double *got, const double *want, int64_t count,
                     double tolerance, const char *file, int line) {
  CHECK_ARRAY_BODY;
}

int check_failures(void) {
  return checks_failed;
}

int check_result(void) {
  printf("%d checks, %d failed\n", checks_run, checks_failed);
  return checks_run > 0 && checks_failed == 0 ? 0 : 1;
}
