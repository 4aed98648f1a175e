/**
 * Runs a list of tasks through the stage of this rank: forward, both halves of backward, and the
 * rows that go to the neighbouring stages and come from them.
 *
 * Every unit at work has a slot with its tape, its rows and their gradient. A slot's buffers are
 * also those of its messages: rows are received into a slot as soon as it is free, gradients as
 * soon as its forward is done, and both are sent from where they were made. So each receive is
 * posted before its message can be needed, no send waits for another, and nothing is copied.
 */
#ifndef RN_TRAINER_PARALLEL_PIPELINE_H
#define RN_TRAINER_PARALLEL_PIPELINE_H

#include "comm/pipeline/pipeline_p2p.h"
#include "model/stage/stage.h"
#include "trainer/parallel/distributed_optimizer.h"
#include "trainer/parallel/exact_sum.h"
#include "trainer/parallel/pipeline_schedule.h"
#include "trainer/parallel/scan_source.h"

/** What one unit at work holds. */
typedef struct rn_slot {
  rn_activations *activations;
  float *gradient; /* [B, T, D] of the rows that left the stage, then of those that entered it; in
                      the place of the rows where these need not wait for a message with it */
  rn_pipeline_p2p_message rows_in, rows_out, gradient_in, gradient_out;
} rn_slot;

/** A stage with its weights, its list of tasks, and the slots for it. */
typedef struct rn_pipeline {
  rn_stage *stage;
  rn_pipeline_p2p *p2p; /* to the neighbouring stages, not owned; NULL: there are none */
  rn_comm_thread
      *comm_thread;    /* has MPI while the stage computes, not owned; NULL: there is none */
  const float *params; /* [total], not owned */
  rn_distributed_optimizer *optimizer; /* of weights and gradients, not owned; NULL: all is whole */
  int dim, head;                       /* the number of the head's part */
  rn_pipeline_schedule_shape schedule;
  rn_pipeline_schedule tasks; /* of a training step; empty where only losses are asked for */
  rn_slot *slot;              /* [tasks.tapes] */
  rn_activations
      *loss_tape; /* of evaluation, between steps: in the first slot's memory, if there are any */
  float *token_loss; /* [B, T] */
} rn_pipeline;

/** A stage's place and layers, its largest unit, and the step that it works on. */
typedef struct rn_pipeline_shape {
  int stage, first_layer, last_layer;
  int sequences, tokens;
  rn_pipeline_schedule_shape schedule; /* micro-batches 0: losses only */
  rn_save_policy keep;                 /* all, or inputs: train.recompute */
  uint64_t seed;                       /* of dropout */
} rn_pipeline_shape;

/** What a pipeline takes. */
typedef struct rn_pipeline_sizes {
  int64_t parameters; /* elements */
  int pool;
  size_t copy_bytes;       /* of the weights, in bf16 */
  size_t activation_bytes; /* of all tapes and the gradients of their rows */
  size_t work_bytes;       /* of the stage at work, and of evaluation */
} rn_pipeline_sizes;

/** The sizes of a pipeline that create would make, for the threads of this process. */
rn_status rn_pipeline_measure(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                              rn_pipeline_sizes *out);

/** A pipeline of one stage; `relay` to the others (NULL: there are none). Errors: RN_ERR_MEMORY. */
rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                             rn_pipeline_p2p *p2p, rn_pipeline *out);
void rn_pipeline_destroy(rn_pipeline *pipeline);

/** From now on weights come, and gradients go, by `exchange`, which outlives the pipeline. */
void rn_pipeline_attach(rn_pipeline *pipeline, rn_distributed_optimizer *optimizer);

/** Reproducible mode: the losses of a batch, a double a leaf, in the order of sequences. */
typedef struct rn_reduction_block_losses {
  double *loss;           /* [sequences, each] */
  int64_t first_sequence; /* global number of the batch's first */
  int64_t first_position; /* of its sequences' first tokens */
  int64_t each;           /* leaves of a sequence; 0: not in this mode */
  int leaf;               /* tokens */
} rn_reduction_block_losses;

/**
 * A training step's units: adds their loss to *loss_sum (last stage; 0 elsewhere) and, into `sink`,
 * scale times the gradient of this stage's weights. With leaves, losses go to them instead.
 *
 * Shapes:     unit [micro-batches, segments], as the tasks count them.
 * Collective: over the stages of the pipeline and the ranks behind `scan`.
 */
rn_status rn_pipeline_train(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                            rn_scan_source *scan, double scale,
                            const rn_reduction_block_losses *leaves, double *loss_sum,
                            rn_grad_accumulator *accumulator);

/**
 * Adds a unit's loss to *loss_sum; on the last stage the losses of its tokens [B, T] are in
 * token_loss afterwards. In reproducible mode the losses of its leaves are added to *leaf_sum
 * instead (NULL elsewhere), so that no layout changes a bit of it.
 *
 * Collective: over the stages of the pipeline and the ranks behind `port`: a FORWARD scan a layer.
 */
rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                   rn_form form, rn_scan_port *port, double *loss_sum,
                                   rn_exact_sum *leaf_sum);

#endif
