/** Finds configuration keys that contradict each other. These checks need neither the data nor the
 * model nor the number of ranks. */
#ifndef RN_TRAINER_CONFIG_CONFIG_CHECK_H
#define RN_TRAINER_CONFIG_CONFIG_CHECK_H

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Checks the keys of `config` against each other.
 *
 * Errors: RN_ERR_USAGE naming the keys, if optimizer.min_lr is above optimizer.lr,
 *         optimizer.decay_steps is below optimizer.warmup_steps, run.leaf is above
 *         data.sequence_length, train.spike_action is rollback without periodic checkpoints, or
 *         checkpoint.resume is empty.
 */
rn_status rn_config_check(rn_err *err, const Retnet__Config *config);

#endif
