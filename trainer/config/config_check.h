/** Checks keys that can contradict each other independently of data, model and number of ranks. */
#ifndef RN_TRAINER_CONFIG_CONFIG_CHECK_H
#define RN_TRAINER_CONFIG_CONFIG_CHECK_H

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Checks the keys of `config` against each other.
 *
 * Errors: RN_ERR_USAGE naming the keys, if optimizer.min_lr is above optimizer.lr, a schedule ends
 *         before its warm-up, run.leaf is above the sequence length, checkpoint.resume is empty,
 *         train.spike_action is rollback without periodic checkpoints, or this build does not
 *         support a value.
 */
rn_status rn_config_check(rn_err *err, const Retnet__Config *config);

#endif
