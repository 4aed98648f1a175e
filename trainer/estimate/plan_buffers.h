/** Shows which buffers of a stage use the memory of activations, and their lifetimes. */
#ifndef RN_TRAINER_ESTIMATE_PLAN_BUFFERS_H
#define RN_TRAINER_ESTIMATE_PLAN_BUFFERS_H

#include "trainer/plan/plan.h"

/**
 * Logs the buffers of the stage that uses the most memory, largest first, in three groups: those
 * that exist once per unit (micro-batch x segment) in flight, once per layer of such a unit, and
 * once in the workspace. Errors: RN_ERR_MEMORY.
 */
rn_status rn_plan_buffers_show(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                               const rn_spec *spec);

#endif
