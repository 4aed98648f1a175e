/** `retnet-train --plan`: what a run would do and need, told without training. */
#ifndef RN_TRAINER_ESTIMATE_PLAN_SHOW_H
#define RN_TRAINER_ESTIMATE_PLAN_SHOW_H

#include "comm/world/world.h"
#include "proto/options/options.h"

/**
 * Prints the effective configuration with where its values come from (`places`), layout,
 * parameters, memory, messages and the expected time of a step for `ranks` ranks (0: those of this
 * launch) on nodes like this one.
 *
 * The time of a step is estimated from small steps measured here in a few seconds and from its
 * schedule (plan_time.h). Ranks that are assumed (`ranks` above 0) and do not fit the memory are
 * told by a warning: the plan is an answer all the same. Collective: over the world. Errors: those
 * of the config and of rn_plan_create, agreed.
 */
rn_status rn_plan_show(rn_err *err, const Retnet__Config *given, const rn_options_places *places,
                       rn_world *world, int ranks);

#endif
