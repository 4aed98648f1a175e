/* Checks that run.max_hours and SLURM_JOB_END_TIME limit the time of a launch: it must stop when
 * the time left is shorter than a step and a save need. An end time that cannot be that of this job
 * is ignored. */
#include "trainer/launch/time_limit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/clock.h"
#include "tests/support/check.h"

static rn_time_limit read_with(const char *job_end, double max_hours) {
  if (job_end == NULL) {
    unsetenv("SLURM_JOB_END_TIME");
  } else {
    setenv("SLURM_JOB_END_TIME", job_end, 1);
  }
  return rn_time_limit_read(max_hours, rn_clock_s());
}

static void without_limits_there_is_always_time(void) {
  const rn_time_limit none = read_with(NULL, 0);
  CHECK_EQUAL(rn_time_limit_check(&none, 1e12), RN_TIME_LEFT);
}

static void max_hours_ends_a_launch(void) {
  const rn_time_limit hours = read_with(NULL, 2);
  CHECK_EQUAL(rn_time_limit_check(&hours, 3000), RN_TIME_LEFT);
  CHECK_EQUAL(rn_time_limit_check(&hours, 7300), RN_TIME_OWN);
}

static void job_end_ends_a_launch(void) {
  char end[32];
  snprintf(end, sizeof end, "%lld", (long long)time(NULL) + 7200);
  const rn_time_limit job = read_with(end, 0), both = read_with(end, 1);
  CHECK_EQUAL(rn_time_limit_check(&job, 3000), RN_TIME_LEFT);
  CHECK_EQUAL(rn_time_limit_check(&job, 7300), RN_TIME_JOB);
  CHECK_EQUAL(rn_time_limit_check(&both, 5000), RN_TIME_OWN);
}

static void other_end_times_are_ignored(void) {
  static const char *const other[] = {"1700000000", "", "0", "-5", "Unknown", "9999999999x"};
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    const rn_time_limit limit = read_with(other[i], 0);
    CHECK(isinf(limit.job_s));
  }
}

int main(void) {
  without_limits_there_is_always_time();
  max_hours_ends_a_launch();
  job_end_ends_a_launch();
  other_end_times_are_ignored();
  return check_result();
}
