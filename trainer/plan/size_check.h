/** Whether what config, model and layout multiply to can be counted at all, on any machine. */
#ifndef RN_TRAINER_PLAN_SIZE_CHECK_H
#define RN_TRAINER_PLAN_SIZE_CHECK_H

#include "trainer/parallel/layout.h"

/**
 * Every key has a range of its own, and their products may lie beyond any type of number. What
 * passes here can be counted in int (rows of a unit, heads of a unit, units of a step, leaves) and
 * in int64_t (bytes); whether it fits into a node's memory is the plan's matter.
 *
 * Errors: RN_ERR_USAGE naming the keys, what they come to, and the bound.
 */
rn_status rn_size_check(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                        const rn_layout *layout);

#endif
