/** A trained model from a checkpoint, for evaluation and generation: spec, weights, origin. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_MODEL_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_MODEL_H

#include "data/checkpoint/ckpt.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"

typedef struct rn_checkpoint_model {
  rn_ckpt *ckpt;
  const Retnet__Manifest *manifest; /* the checkpoint's */
  rn_spec spec;
  rn_param_table *table;
  float *params;      /* [table->total] */
  int64_t not_finite; /* weights that are NaN or infinite: a model that has diverged */
} rn_checkpoint_model;

/**
 * Loads the whole model of a step folder or of a run directory's newest good checkpoint.
 * Errors: RN_ERR_NOT_FOUND, RN_ERR_FORMAT naming the checkpoint. Damaged ones are only passed by.
 * Beside a live run a checkpoint that its owner removes while it is read is not missed: the newest
 * one is found again.
 * A warning tells of weights that are no finite numbers.
 */
rn_status rn_checkpoint_model_open(rn_err *err, const char *path, rn_checkpoint_model *out);
/** The same of a step folder that was just found and verified: its sums are not verified at once.
 */
rn_status rn_checkpoint_model_open_found(rn_err *err, const char *step_path,
                                         rn_checkpoint_model *out);

void rn_checkpoint_model_close(rn_checkpoint_model *loaded);

#endif
