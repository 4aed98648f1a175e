/**
 * The decisions of a run before it allocates anything: the effective configuration, the model, the
 * machine and the plan. They are constant once the parts of the run have been created.
 */
#ifndef RN_TRAINER_RUN_SETTINGS_H
#define RN_TRAINER_RUN_SETTINGS_H

#include "trainer/config/effective.h"
#include "trainer/plan/plan.h"
#include "trainer/run/choices.h"

typedef struct rn_run_settings {
  const Retnet__Config *given; /* config of the file and the command line; not owned */
  rn_effective effective;
  const Retnet__Config *config; /* effective.config */
  rn_spec spec;                 /* model spec with the chunk length in use */
  rn_machine machine;
  rn_plan plan; /* layout and estimated memory */
} rn_run_settings;

/**
 * Resolves the configuration for a vocabulary of `vocabulary` tokens (0: no data), decides whether
 * a core is left to the communication thread, starts the threads and selects the GEMM backend of
 * this process. rn_run_settings_plan completes the settings.
 *
 * Ownership: the caller owns `given`, which must outlive the settings. rn_run_settings_destroy must
 *            be called even after a failure.
 * Errors:    invalid keys, which the message names; RN_ERR_MEMORY. On this rank only.
 */
rn_status rn_run_settings_create(rn_err *err, const Retnet__Config *given, int vocabulary,
                                 int ranks, rn_machine machine, rn_run_settings *out);
void rn_run_settings_destroy(rn_run_settings *settings);

/**
 * Makes all ranks use the same GEMM backend, and makes the plan. The plan depends only on values
 * that are the same on all ranks, so all ranks choose the same layout; this is also checked.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MPI; those of rn_plan_create and rn_plan_check_same, agreed.
 */
rn_status rn_run_settings_plan(rn_err *err, rn_world *world, rn_run_settings *settings);

/**
 * Keeps the choices of a checkpoint that are still valid (choices.h); NULL: keeps none. If this
 * changes the chunk length, the plan is made again, since the workspace depends on it.
 *
 * Collective: over the world. Errors: those of rn_run_settings_plan.
 */
rn_status rn_run_settings_keep_choices(rn_err *err, const rn_choices *choices, rn_world *world,
                                       rn_run_settings *settings);

#endif
