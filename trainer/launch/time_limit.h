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
 * Returns the limits of a launch that started at `since_s` of rn_clock_s. max_hours 0 is no limit.
 * SLURM_JOB_END_TIME is in seconds since 1970; a time that passed more than ten minutes ago is
 * ignored, because it must be that of another job, as is text that is not a number.
 */
rn_time_limit rn_time_limit_read(double max_hours, double since_s);

/** Reason why a launch must stop now. Larger values take precedence if ranks disagree. */
typedef enum {
  RN_TIME_LEFT, /* no reason */
  RN_TIME_OWN,  /* run.max_hours is nearly reached */
  RN_TIME_JOB,  /* the SLURM job nearly ends */
  RN_TIME_REASONS
} rn_time_reason;

/** Returns whether a limit may be reached within `needed_s` seconds, and which one. */
rn_time_reason rn_time_limit_check(const rn_time_limit *limit, double needed_s);

#endif
