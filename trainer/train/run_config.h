/**
 * Writes RUN/config.yaml, the effective configuration, with which the run can be started, continued
 * and extended.
 *
 * The first line has a checksum of the rest. A config.yaml without this line is the user's, and one
 * with a wrong checksum was edited. Neither is overwritten; RUN/effective.yaml is written instead.
 */
#ifndef RN_TRAINER_TRAIN_RUN_CONFIG_H
#define RN_TRAINER_TRAIN_RUN_CONFIG_H

#include "trainer/plan/decisions.h"

/**
 * Writes one of the two files, or warns if neither may be overwritten.
 *
 * Errors: RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_run_config_write(rn_err *err, const char *run_dir, const rn_config_notes *notes);

#endif
