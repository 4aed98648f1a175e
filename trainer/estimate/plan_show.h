/**
 * `retnet-train --plan`: reports what a run would do and which resources it would need, without
 * training.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_SHOW_H
#define RN_TRAINER_ESTIMATE_PLAN_SHOW_H

#include "comm/world/world.h"
#include "proto/options/options.h"

/**
 * Prints the effective configuration with the origins of its values (`locations`), and what a run
 * on `ranks` ranks (0: the ranks of this launch) would need on nodes like this one: layout,
 * parameters, memory, messages and the estimated time of a step (plan_time.h).
 *
 * With `ranks` above 0, insufficient memory causes a warning, not an error.
 *
 * Collective: over the world. Errors: those of the config, the data folder, rn_plan_create and
 * rn_plan_sample_take, agreed.
 */
rn_status rn_plan_show(rn_err *err, const Retnet__Config *given,
                       const rn_options_locations *locations, rn_world *world, int ranks);

#endif
