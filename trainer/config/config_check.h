/** Checks for keys that contradict each other independently of data, model and number of ranks. */
#ifndef RN_TRAINER_CONFIG_CONFIG_CHECK_H
#define RN_TRAINER_CONFIG_CONFIG_CHECK_H

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Errors: RN_ERR_USAGE naming the keys: optimizer.min_lr above optimizer.lr, a schedule that ends
 *         before its warm-up, run.leaf above the sequence length, an empty checkpoint.resume, a
 *         value that this build does not support.
 */
rn_status rn_config_check(rn_err *err, const Retnet__Config *config);

#endif
