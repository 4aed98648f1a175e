/**
 * Holds this rank's part of the model: the pipeline stage, the weights of the stage, and the sums
 * that a training step accumulates. The sums are gradients and losses (in reproducible mode, one
 * loss per reduction block).
 */
#ifndef RN_TRAINER_RUN_LOCAL_MODEL_H
#define RN_TRAINER_RUN_LOCAL_MODEL_H

#include "trainer/parallel/pipeline.h"
#include "trainer/run/data_stream.h"
#include "trainer/run/gradient_memory.h"
#include "trainer/run/parallel_context.h"
#include "trainer/run/settings.h"
#include "trainer/run/stage_weights.h"

typedef struct rn_local_model {
  rn_pipeline pipeline;
  rn_weights weights;
  rn_gradient_memory gradient; /* memory of the stage's gradient, if ranks of the node share it */
  rn_batch_loss loss;          /* loss of the current step */
  int64_t reduction_blocks; /* number of blocks in the whole batch; 0 outside reproducible mode */
} rn_local_model;

/**
 * Creates the stage and initializes its weights from run.seed. On return all weights have arrived
 * on every rank.
 *
 * Collective: over the world.
 * Ownership:  settings and parallel must outlive the model, which must not move.
 *             rn_local_model_destroy must be called even after a failure.
 * Errors:     RN_ERR_MEMORY, those of rn_weights_create; agreed.
 */
rn_status rn_local_model_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_local_model *out);
/** Destroys the model. Collective: over the world. */
void rn_local_model_destroy(rn_local_model *model);

/** True in reproducible mode, where sums of gradients and losses are exact. */
bool rn_local_model_is_exact(const rn_local_model *model);

/**
 * Runs forward and backward for the batch that `data` has read. On return the stage contains the
 * gradient times `scale`, and model->loss the losses of this rank.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_local_model_train(rn_err *err, rn_local_model *model, rn_data_stream *data,
                               rn_scan_source *scan, double scale);

#endif
