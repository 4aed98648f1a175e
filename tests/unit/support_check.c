/* Checks that each macro of tests/support/check.h detects a wrong value. */
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

/* Returns whether `check` fails. Runs it in a child process, whose messages are discarded. */
static bool notices(void (*check)(void)) {
  int how = 0;
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(2);
    check();
    _exit(check_failures() > 0 ? 1 : 0);
  }
  return waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 1;
}

static const float right[] = {1, 2, 3}, no_number[] = {1, NAN, 3}, off[] = {1, 2, 3.1f};

static void an_array_with_nan_inside(void) {
  CHECK_ARRAY("x", no_number, right, 3, 1e-6);
}
static void an_array_that_wants_nan(void) {
  CHECK_ARRAY("x", right, no_number, 3, 1e-6);
}
static void an_array_that_is_off(void) {
  CHECK_ARRAY("x", off, right, 3, 0.03);
}
static void a_number_that_is_nan(void) {
  CHECK_NEAR(NAN, 1, 1e300);
}
static void a_number_near_nan(void) {
  CHECK_RELATIVE(1, NAN, 1e300);
}
static void a_small_number_that_is_off(void) {
  CHECK_RELATIVE(1.1e-9, 1e-9, 0.01);
}
static void an_error_that_did_not_come(void) {
  rn_err err = {0};
  CHECK_FAILS(&err, RN_ERR_IO, "", RN_OK);
}
static void an_error_without_its_word(void) {
  rn_err err = {0};
  CHECK_FAILS(&err, RN_ERR_IO, "here|there", rn_fail(&err, RN_ERR_IO, "here"));
}
static void nothing(void) {
  CHECK_ARRAY("x", right, right, 3, 0);
  CHECK_RELATIVE(1e-9, 1.001e-9, 0.01);
}

int main(void) {
  CHECK(notices(an_array_with_nan_inside));
  CHECK(notices(an_array_that_wants_nan));
  CHECK(notices(an_array_that_is_off));
  CHECK(notices(a_number_that_is_nan));
  CHECK(notices(a_number_near_nan));
  CHECK(notices(a_small_number_that_is_off));
  CHECK(notices(an_error_that_did_not_come));
  CHECK(notices(an_error_without_its_word));
  CHECK(!notices(nothing));
  return check_result();
}
