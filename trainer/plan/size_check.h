/** Checks that the sizes of a run are representable in the integer types that count them. */
#ifndef RN_TRAINER_PLAN_SIZE_CHECK_H
#define RN_TRAINER_PLAN_SIZE_CHECK_H

#include "trainer/layout/layout.h"

/**
 * Checks products of keys, which can overflow even if each key is within its range. If the check
 * succeeds, an int can count rows of a unit, heads of a unit, units of a step and reduction blocks
 * of a step, and int64_t can count bytes. rn_plan_create checks that nodes have enough memory.
 *
 * Errors: RN_ERR_USAGE naming the keys, their product and the bound.
 */
rn_status rn_size_check(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                        const rn_layout *layout);

#endif
