/** Models the time of the steps that retnet-bench measures. */
#ifndef RN_TRAINER_BENCH_BENCH_COST_H
#define RN_TRAINER_BENCH_BENCH_COST_H

#include "trainer/cost/step_cost.h"
#include "trainer/run/run.h"

/** Returns the modelled cost of this rank's part of a training step, computed from the tasks into
 * which the loops of the step are divided (trainer/cost/step_cost.h). */
rn_step_cost rn_bench_cost(const rn_run *run);

#endif
