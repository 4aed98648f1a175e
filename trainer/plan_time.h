/**
 * How long a step of a plan will take: from steps of one and of a few of its layers that are made
 * here, on as many threads, and from its schedule, simulated.
 */
#ifndef RN_TRAINER_PLAN_TIME_H
#define RN_TRAINER_PLAN_TIME_H

#include "trainer/plan.h"

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
 * Measures for some seconds and foretells; states of scans and rows between stages are taken as
 * hidden. Ranks of the world measure at once, as they will train; the slowest one's time counts.
 *
 * Collective: over the world. Errors: those of making a run of one layer.
 */
rn_status rn_plan_time_look(rn_err *err, const Retnet__Config *config, rn_world *world,
                            const rn_plan *plan, const rn_spec *spec, rn_plan_time *out);

#endif
