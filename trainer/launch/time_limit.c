#include "trainer/launch/time_limit.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/clock.h"

/* A job may run this long after its end time (OverTimeLimit of SLURM). */
enum { GRACE_S = 600 };

/* Returns the seconds until the end of this SLURM job; INFINITY if it is not known. */
static double job_left_s(void) {
  const char *text = getenv("SLURM_JOB_END_TIME");
  char *end = NULL;
  if (text == NULL) return INFINITY;
  const long long end_time = strtoll(text, &end, 10);
  const double left_s = difftime((time_t)end_time, time(NULL));
  return end != text && *end == '\0' && left_s > -GRACE_S ? left_s : INFINITY;
}

rn_time_limit rn_time_limit_read(double max_hours, double since_s) {
  return (rn_time_limit){.own_s = max_hours > 0 ? since_s + 3600 * max_hours : INFINITY,
                         .job_s = rn_clock_s() + job_left_s()};
}

rn_time_reason rn_time_limit_check(const rn_time_limit *limit, double needed_s) {
  const double reached_s = rn_clock_s() + needed_s;
  if (reached_s > limit->job_s) return RN_TIME_JOB;
  return reached_s > limit->own_s ? RN_TIME_OWN : RN_TIME_LEFT;
}
