/** Builds the manifest of a checkpoint from a run, and commits the checkpoint. */
#ifndef RN_TRAINER_CHECKPOINT_MANIFEST_H
#define RN_TRAINER_CHECKPOINT_MANIFEST_H

#include "data/checkpoint/ckpt.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/run/datasets.h"
#include "trainer/run/settings.h"
#include "trainer/run/spike_guard.h"
#include "trainer/run/step_counters.h"

/** Properties of the run that the manifest records and that stay the same during the run. */
typedef struct rn_manifest_run {
  const rn_run_settings *settings;
  const rn_datasets *datasets;
  rn_scan_algorithm scan;
} rn_manifest_run;

/** State of the run when the save started; the run may have continued since. */
typedef struct rn_saved_state {
  rn_step_counters counters;
  rn_spike_guard spikes;
  Retnet__Stream *stream; /* [B] with data.carry_state, else NULL */
} rn_saved_state;

/**
 * Writes the manifest into the staged folder of the state's step and gives the folder its final
 * name. Called by one rank, after all files are written; `reports` [count] holds the report of each
 * rank.
 *
 * Errors: RN_ERR_MISMATCH if the slices do not cover every tensor of the model and every TBPTT
 *         state exactly once; RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_manifest_commit(rn_err *err, const rn_manifest_run *run, const rn_saved_state *state,
                             const rn_ckpt_report *reports, int count);

/** Returns the counters that a manifest records. */
rn_step_counters rn_manifest_counters(const Retnet__Manifest *manifest);

#endif
