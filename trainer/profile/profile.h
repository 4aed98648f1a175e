/**
 * Implements run.profile, which shows where the steps of a run spend time: as a table at the end of
 * the run, and as a trace of the first steps in the Chrome trace event format.
 *
 * Spans are recorded by proto/base/span.h; this module combines the records of all ranks.
 */
#ifndef RN_TRAINER_PROFILE_PROFILE_H
#define RN_TRAINER_PROFILE_PROFILE_H

#include "trainer/run/parallel_context.h"
#include "trainer/schedule/pipeline_schedule.h"

/** The first RN_PROFILE_TRACED steps are in the trace; the last RN_PROFILE_STEPS steps are compared
 * with the simulated pipeline. */
enum { RN_PROFILE_TRACED = 10, RN_PROFILE_STEPS = 10 };

/** Times of one step on this rank: the total time of the pipeline, and the time in tasks of each
 * kind, excluding waits. */
typedef struct rn_profile_sample {
  double pipeline_s, busy_s[RN_TASK_WEIGHT + 1];
} rn_profile_sample;

typedef struct rn_profile {
  const rn_parallel_context *parallel;        /* not owned */
  const rn_pipeline_schedule_shape *schedule; /* schedule of a step; not owned */
  double origin_s; /* clock time of this rank after the barrier at the start; it is time 0 of the
                      trace */
  int64_t steps;
  rn_profile_sample sample[RN_PROFILE_STEPS],
      before; /* `sample`: times of the last steps; `before`: totals of all previous steps */
} rn_profile;

/**
 * Starts recording.
 *
 * Collective: over the world. Ownership: parallel and schedule must outlive the profile.
 * Errors:     RN_ERR_MEMORY, agreed.
 */
rn_status rn_profile_start(rn_err *err, const rn_parallel_context *parallel,
                           const rn_pipeline_schedule_shape *schedule, rn_profile *out);

/** Must be called after every step. */
void rn_profile_step(rn_profile *profile);

/**
 * Prints the table, and for a pipeline its measured and simulated idle time, and replaces
 * RUN/trace.json; rank 0 does all of this.
 *
 * Collective: over the world. Errors: RN_ERR_IO, RN_ERR_MEMORY, agreed.
 */
rn_status rn_profile_finish(rn_err *err, const char *run_dir, const rn_profile *profile);

/** Fraction of time that the stages of the pipeline were idle, as the median of the last steps.
 * `seen` is measured; `simulated` is computed by the schedule simulator from the measured task
 * times. Both are 0 without a pipeline. */
typedef struct rn_profile_idle {
  double seen, simulated;
} rn_profile_idle;

/** The three functions that rn_profile_finish calls. They are collective over the world and have
 * the same errors. rn_profile_pipeline sets *idle on rank 0. */
rn_status rn_profile_pipeline(rn_err *err, const rn_profile *profile, rn_profile_idle *idle);
rn_status rn_profile_table(rn_err *err, const rn_profile *profile);
rn_status rn_profile_trace(rn_err *err, const char *run_dir, const rn_profile *profile);

/** Stores the sample of the step that just ended. */
void rn_profile_sample_step(rn_profile *profile);

#endif
