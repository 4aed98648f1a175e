/** The time at which a launch must have ended: run.max_hours, and the end of its SLURM job. */
#ifndef RN_TRAINER_LAUNCH_TIME_LIMIT_H
#define RN_TRAINER_LAUNCH_TIME_LIMIT_H

#include <stdbool.h>

/** Times of rn_clock_s at which the launch must have ended; INFINITY: no such limit. */
typedef struct rn_time_limit {
  double own_s; /* given by run.max_hours */
  double job_s; /* given by SLURM_JOB_END_TIME, which SLURM and jobs/train.sbatch set */
} rn_time_limit;

/**
 * Returns the limits of a launch; `since_s` is the value of rn_clock_s at its start. A value of 0
 * for max_hours means no limit. SLURM_JOB_END_TIME is in seconds since 1970. Ignores the variable
 * if it is not a number, or if the time passed more than ten minutes ago, since it must then be the
 * end of another job.
 */
rn_time_limit rn_time_limit_read(double max_hours, double since_s);

/** Reason why a launch must stop now. Larger values take precedence if ranks disagree. */
typedef enum {
  RN_TIME_LEFT, /* no reason */
  RN_TIME_OWN,  /* the limit of run.max_hours is near */
  RN_TIME_JOB,  /* the end of the SLURM job is near */
  RN_TIME_REASONS
} rn_time_reason;

/** Returns whether a limit may be reached within `needed_s` seconds, and which one. */
rn_time_reason rn_time_limit_check(const rn_time_limit *limit, double needed_s);

#endif
