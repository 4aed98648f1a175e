/**
 * run.profile: where the time of a run's steps goes, as a table at its end and as a trace of its
 * first steps that viewers of Chrome traces open.
 *
 * The marks are those of proto/base/span.h; this puts the ranks' records side by side.
 */
#ifndef RN_TRAINER_PROFILE_PROFILE_H
#define RN_TRAINER_PROFILE_PROFILE_H

#include "trainer/run/run.h"

/** Steps whose single spans are in the trace: the first ones; and that are compared with the
 * simulated pipeline: the last ones. */
enum { RN_PROFILE_TRACED = 10, RN_PROFILE_STEPS = 10 };

/** What a step spent in its pipeline, and in its tasks by kind without waiting. */
typedef struct rn_profile_sample {
  double pipeline_s, busy_s[RN_TASK_WEIGHT + 1];
} rn_profile_sample;

typedef struct rn_profile {
  double origin_s; /* this rank's clock at the common start */
  int64_t steps;
  rn_profile_sample sample[RN_PROFILE_STEPS], before; /* of the last steps; all in all */
} rn_profile;

/** Records from now on. Collective: over the world. Errors: RN_ERR_MEMORY, agreed. */
rn_status rn_profile_start(rn_err *err, rn_run *run, rn_profile *out);

/** To be called after every step. */
void rn_profile_step(rn_profile *profile);

/**
 * Prints the table (and with a pipeline, how idle it was and had to be) and replaces
 * RUN/trace.json, on rank 0.
 * Collective: over the world. Errors: RN_ERR_IO, RN_ERR_MEMORY, agreed.
 */
rn_status rn_profile_finish(rn_err *err, rn_run *run, const rn_profile *profile);

/** Share of the time that a pipeline's stages were idle, median of the last steps: as it was seen,
 * and as the simulated schedule has it for the times that tasks took. 0 without a pipeline. */
typedef struct rn_profile_idle {
  double seen, simulated;
} rn_profile_idle;

/** The parts of finish, collective as it is; `idle` is set on rank 0. */
rn_status rn_profile_pipeline(rn_err *err, rn_run *run, const rn_profile *profile,
                              rn_profile_idle *idle);
rn_status rn_profile_table(rn_err *err, rn_run *run, const rn_profile *profile);
rn_status rn_profile_trace(rn_err *err, rn_run *run, const rn_profile *profile);

/** The sample of a step that has just been made. */
void rn_profile_sample_step(rn_profile *profile);

#endif
