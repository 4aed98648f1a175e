/* Checks that OMP_NUM_THREADS is used if it is a number from 1 to 8192 or a list of such
 * numbers, and otherwise reported and ignored. */
#include "proto/base/omp_threads.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

static void check(const char *given, int want, bool refused) {
  char text[160] = "";
  setenv("OMP_NUM_THREADS", given, 1);
  if (!CHECK_EQUAL(rn_omp_threads(), want)) check_that(false, given, __FILE__, __LINE__);
  CHECK(rn_omp_threads_refused(6, text, sizeof text) == refused);
  if (refused) CHECK(strstr(text, given) && strstr(text, "using 6 threads"));
}

int main(void) {
  char text[160];
  static const char *const bad[] = {"0",  "x",    "-1",    "99999", "8193", "99999999999999999999",
                                    "4x", "four", "1e400", "2.5",   "3;2",  ","};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) check(bad[i], 0, true);
  check("1", 1, false);
  check("8192", 8192, false);
  check(" 4 ", 4, false);
  check("3,2", 3, false);
  check("", 0, false);
  check(" ", 0, false);
  unsetenv("OMP_NUM_THREADS");
  CHECK_EQUAL(rn_omp_threads(), 0);
  CHECK(!rn_omp_threads_refused(6, text, sizeof text));
  return check_result();
}
