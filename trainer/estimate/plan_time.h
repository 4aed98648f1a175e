/**
 * How long a step of a plan will take: from small steps that are measured here, on as many threads
 * (plan_sample.h), and from its schedule, simulated. Seconds of time and some hundred MiB, whatever
 * the model, the batch and the number of ranks.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_TIME_H
#define RN_TRAINER_ESTIMATE_PLAN_TIME_H

#include "trainer/estimate/plan_sample.h"

/** Seconds of one step, of the rank that has most to do. */
typedef struct rn_plan_time {
  double units_s; /* forward and backward of its units */
  double idle_s;  /* of the pipeline */
  double sums_s;  /* gradients summed over ranks, weights brought back */
  double update_s;
} rn_plan_time;

static inline double rn_plan_time_total(rn_plan_time t) {
  return t.units_s + t.idle_s + t.sums_s + t.update_s;
}

/**
 * The time of a step by a sample; states of scans and rows between stages are taken as hidden.
 *
 * A schedule of more units than can be simulated at once is simulated with fewer micro-batches, or
 * fewer and longer segments: its idle time is that of its beginning and end.
 * Errors: memory.
 */
rn_status rn_plan_time_estimate(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                                const rn_plan_sample *sample, rn_plan_time *out);

#endif
