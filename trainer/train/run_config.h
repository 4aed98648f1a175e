/**
 * RUN/config.yaml: the effective configuration, with which the run can be started, continued and
 * extended.
 *
 * Its first line holds a sum of the rest. A config.yaml without that line, or whose sum differs, is
 * somebody's own, or was edited: it stays as it is, and RUN/effective.yaml is written beside it.
 */
#ifndef RN_TRAINER_TRAIN_RUN_CONFIG_H
#define RN_TRAINER_TRAIN_RUN_CONFIG_H

#include "trainer/plan/decisions.h"

/** Errors: RN_ERR_IO, RN_ERR_MEMORY. */
rn_status rn_run_config_write(rn_err *err, const char *run_dir, const rn_config_notes *notes);

#endif
