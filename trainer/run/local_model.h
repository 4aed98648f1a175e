/**
 * This rank's part of the model: the stage in its pipeline, its weights, and what a training step
 * accumulates, gradients and (in reproducible mode) losses by reduction block.
 */
#ifndef RN_TRAINER_RUN_LOCAL_MODEL_H
#define RN_TRAINER_RUN_LOCAL_MODEL_H

#include "trainer/parallel/pipeline.h"
#include "trainer/run/data_stream.h"
#include "trainer/run/parallel_context.h"
#include "trainer/run/settings.h"
#include "trainer/run/stage_weights.h"

typedef struct rn_local_model {
  rn_pipeline pipeline;
  rn_weights weights;
  rn_batch_loss loss;       /* of the step */
  int64_t reduction_blocks; /* reproducible mode: of the whole batch; else 0 */
} rn_local_model;

/**
 * Creates the stage with initial weights (run.seed), which have arrived on every rank.
 *
 * Collective: over the world.
 * Ownership:  settings and parallel must outlive the model, which must not move. After a failure,
 *             too, rn_local_model_destroy frees *out.
 * Errors:     RN_ERR_MEMORY, those of rn_weights_create; agreed.
 */
rn_status rn_local_model_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_local_model *out);
/** Collective: over the world. */
void rn_local_model_destroy(rn_local_model *model);

/** True in reproducible mode, where sums are exact. */
bool rn_local_model_is_exact(const rn_local_model *model);

/**
 * Forward and backward of the batch that `data` has read: the gradient, times `scale`, is in the
 * stage, the losses of this rank in model->loss.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_local_model_train(rn_err *err, rn_local_model *model, rn_data_stream *data,
                               rn_scan_source *scan, double scale);

#endif
