/** Loads a trained model from a checkpoint for evaluation and generation. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_MODEL_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_MODEL_H

#include "data/checkpoint/ckpt.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"

typedef struct rn_checkpoint_model {
  rn_ckpt *ckpt;
  const Retnet__Manifest *manifest; /* owned by ckpt */
  rn_spec spec;
  rn_param_table *table;
  float *params;      /* [table->total] */
  int64_t not_finite; /* number of NaN or infinite weights; > 0: the training diverged */
} rn_checkpoint_model;

/**
 * Loads the whole model from a step folder, or from the newest good checkpoint of a run directory.
 *
 * Damaged checkpoints of a run directory are skipped with a warning and keep their names. If a
 * running job removes the checkpoint while it is read, the search is repeated. Prints a warning if
 * weights are not finite.
 *
 * Ownership: rn_checkpoint_model_close.
 * Errors:    RN_ERR_NOT_FOUND; RN_ERR_FORMAT naming the checkpoint; RN_ERR_MEMORY.
 */
rn_status rn_checkpoint_model_open(rn_err *err, const char *path, rn_checkpoint_model *out);
/** Loads the whole model like rn_checkpoint_model_open, from a step folder that was just verified;
 * does not verify the checksums again. */
rn_status rn_checkpoint_model_open_found(rn_err *err, const char *step_path,
                                         rn_checkpoint_model *out);

/**
 * Computes the XXH3-64 of the weights and of the model keys, except keys that do not change results
 * (model.chunk, model.products) or apply only to training (model.dropout).
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_checkpoint_model_hash(rn_err *err, const rn_checkpoint_model *model, uint64_t *out);

/** Frees the model; accepts a zeroed one. */
void rn_checkpoint_model_close(rn_checkpoint_model *loaded);

#endif
