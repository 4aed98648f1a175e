/**
 * Estimates the time of a plan's step from measured small steps with the plan's number of threads
 * (plan_sample.h) and from a simulation of its pipeline schedule. This takes seconds and a few
 * hundred MiB, independent of the model, the batch and the number of ranks.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_TIME_H
#define RN_TRAINER_ESTIMATE_PLAN_TIME_H

#include "trainer/estimate/plan_sample.h"

/** Estimated time of one step on the most loaded rank. */
typedef struct rn_plan_time {
  double units_s; /* forward and backward of all units */
  double idle_s;  /* idle time of the pipeline */
  double rows_s;  /* exchange of keys, values and their gradients by ranks that share a sequence */
  double sums_s;  /* reduce-scatter of gradients, all-gather of weights */
  double update_s;
} rn_plan_time;

/** Returns the time of the whole step in seconds. */
static inline double rn_plan_time_total(rn_plan_time t) {
  return t.units_s + t.idle_s + t.rows_s + t.sums_s + t.update_s;
}

/**
 * Estimates the time of a step from a sample. Transfers of scan states and of activations between
 * stages are assumed to be hidden by computation. Keys and values of attention grow with the length
 * of the sequence; a rank copies each byte that it sends or receives.
 *
 * A schedule with too many units is simulated with fewer micro-batches, or with fewer and longer
 * segments, since idle time arises only at the beginning and the end of a schedule.
 *
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_plan_time_estimate(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                                const rn_plan_sample *sample, rn_plan_time *out);

#endif
