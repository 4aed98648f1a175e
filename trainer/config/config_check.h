/** Keys that contradict each other, whatever the data, the model and the ranks. */
#ifndef RN_TRAINER_CONFIG_CONFIG_CHECK_H
#define RN_TRAINER_CONFIG_CONFIG_CHECK_H

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Errors: RN_ERR_USAGE naming both keys: optimizer.min_lr above optimizer.lr, a schedule that ends
 *         before its warm-up does, run.leaf above the sequence, an empty checkpoint.resume; a key
 *         whose value this build does not serve.
 */
rn_status rn_config_check(rn_err *err, const Retnet__Config *config);

#endif
