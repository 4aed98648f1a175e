/**
 * run.profile: where the time of a run's steps goes, as a table at its end and as a trace of its
 * first steps that viewers of Chrome traces open.
 *
 * The marks are those of proto/span.h; this puts the ranks' records side by side.
 */
#ifndef RN_TRAINER_PROFILE_H
#define RN_TRAINER_PROFILE_H

#include "trainer/run.h"

/** Steps whose single spans are in the trace. */
enum { RN_PROFILE_TRACED = 10 };

typedef struct rn_profile {
  double origin_s; /* this rank's clock at the common start */
  int64_t steps;
} rn_profile;

/** Records from now on. Collective: over the world. Errors: RN_ERR_MEMORY, agreed. */
rn_status rn_profile_start(rn_err *err, rn_run *run, rn_profile *out);

/** To be called after every step. */
void rn_profile_step(rn_profile *profile);

/**
 * Prints the table and replaces RUN/trace.json, on rank 0.
 * Collective: over the world. Errors: RN_ERR_IO, RN_ERR_MEMORY, agreed.
 */
rn_status rn_profile_finish(rn_err *err, rn_run *run, const rn_profile *profile);

/** The parts of finish, collective as it is. */
rn_status rn_profile_table(rn_err *err, rn_run *run, const rn_profile *profile);
rn_status rn_profile_trace(rn_err *err, rn_run *run, const rn_profile *profile);

#endif
