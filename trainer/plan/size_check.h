/** Checks that the sizes of a run are representable in the integer types that count them. */
#ifndef RN_TRAINER_PLAN_SIZE_CHECK_H
#define RN_TRAINER_PLAN_SIZE_CHECK_H

#include "trainer/layout/layout.h"

/**
 * The range of each key is checked separately, but products of keys can overflow. After this check,
 * int can count rows of a unit, heads of a unit, units of a step and reduction blocks of a step,
 * and int64_t can count bytes. Whether a node has enough memory is checked by rn_plan_create.
 *
 * Errors: RN_ERR_USAGE naming the keys, their product and the bound.
 */
rn_status rn_size_check(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                        const rn_layout *layout);

#endif
