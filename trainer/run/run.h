/**
 * One training run in memory, assembled from parts. Each part owns one kind of state; step.c and
 * validate.c combine the parts. trainer/checkpoint/ saves and loads weights, moments, streams and
 * counters.
 */
#ifndef RN_TRAINER_RUN_RUN_H
#define RN_TRAINER_RUN_RUN_H

#include "trainer/run/choices.h"
#include "trainer/run/data_stream.h"
#include "trainer/run/datasets.h"
#include "trainer/run/local_model.h"
#include "trainer/run/optimizer.h"
#include "trainer/run/parallel_context.h"
#include "trainer/run/replica_check.h"
#include "trainer/run/settings.h"
#include "trainer/run/spike_guard.h"
#include "trainer/run/step_counters.h"

typedef struct rn_run {
  rn_datasets datasets;         /* the splits */
  rn_run_settings settings;     /* configuration, model and plan; constant */
  rn_parallel_context parallel; /* grid, scan, transfers between stages, communication thread */
  rn_data_stream data;          /* batches and units; with data.carry_state also the streams */
  rn_local_model model;         /* stage, weights, gradient of the current step */
  rn_optimizer optimizer;       /* summed gradients, moments */
  rn_step_counters counters;    /* number of steps, tokens and updates done so far */
  rn_replica_check replicas;    /* checksums that find silent bit flips */
  rn_spike_guard spikes;        /* losses and gradient norms of the last steps */
} rn_run;

/**
 * Creates a run with initial weights and opens its data splits. Without data.dir, steps use
 * synthetic tokens (for measurements).
 *
 * Collective: over the world.
 * Ownership: the caller owns `given`, which must outlive the run. The run must not move.
 * Errors:     those of the config and the data folder, RN_ERR_MEMORY; agreed.
 */
rn_status rn_run_create(rn_err *err, const Retnet__Config *given, rn_world *world, rn_run *out);
/**
 * Creates a run like rn_run_create, but keeps those choices of a checkpoint that are still valid
 * (choices.h). If `choices` is NULL, the rules make all choices.
 */
rn_status rn_run_create_from(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                             rn_world *world, rn_run *out);
/** Returns the parts of the run that `replicas` checks. */
static inline rn_checked_state rn_run_checked_state(rn_run *run) {
  return (rn_checked_state){&run->parallel, &run->model.weights, &run->optimizer};
}

/** Destroys the run; must not be called after RN_ERR_MPI. Collective: over the world. */
void rn_run_destroy(rn_run *run);

#endif
