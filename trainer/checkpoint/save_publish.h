/** Publishes a checkpoint once all ranks have written their files. */
#ifndef RN_TRAINER_CHECKPOINT_SAVE_PUBLISH_H
#define RN_TRAINER_CHECKPOINT_SAVE_PUBLISH_H

#include "data/checkpoint/ckpt.h"
#include "data/run/run_lock.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/run/run.h"

/** Bytes of a checkpoint: raw, and stored after compression. */
typedef struct rn_save_bytes {
  double raw, stored;
} rn_save_bytes;

/**
 * Gathers the reports of all ranks; rank 0 checks that it still owns run.dir (`lock`), writes the
 * manifest and renames the staged folder. On entry *bytes holds the bytes of this rank; on return,
 * the sum over all ranks.
 *
 * Collective: over the world.
 * Errors:     those of rn_run_lock_verify and rn_manifest_commit, agreed; RN_ERR_MPI.
 */
rn_status rn_save_publish(rn_err *err, const rn_run *run, rn_run_lock *lock,
                          const rn_saved_state *state, const rn_ckpt_report *report,
                          rn_save_bytes *bytes);

#endif
