/**
 * Executes a pipeline schedule on the stage of this rank: forward, both phases of backward, and the
 * transfer of rows and their gradients between neighbouring stages.
 *
 * Every unit in flight has a slot with its activations, its rows and their gradient. Messages use
 * the slot's buffers directly: rows are received into a slot as soon as it is free, gradients as
 * soon as its forward is done, and both are sent from where they were computed. So each receive is
 * posted before its message is needed, no send waits for another, and nothing is copied.
 */
#ifndef RN_TRAINER_PARALLEL_PIPELINE_H
#define RN_TRAINER_PARALLEL_PIPELINE_H

#include "comm/pipeline/pipeline_p2p.h"
#include "model/stage/layer_stack.h"
#include "trainer/optimizer/distributed_optimizer.h"
#include "trainer/parallel/exact_sum.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/schedule/pipeline_schedule.h"

/** The buffers and messages of one unit in flight. */
typedef struct rn_slot {
  rn_activations *activations;
  float *gradient; /* [B, T, D] of the stage's output rows, then of its input rows; with a single
                      stage it aliases the rows */
  rn_pipeline_p2p_message rows_in, rows_out, gradient_in, gradient_out;
} rn_slot;

/** A stage with its weights, its schedule and its slots. */
typedef struct rn_pipeline {
  rn_layer_stack *stage;
  rn_pipeline_p2p *p2p;                /* to neighbouring stages, not owned; NULL: single stage */
  rn_comm_thread *comm_thread;         /* owns MPI while the stage computes; not owned; or NULL */
  const float *params;                 /* [total], not owned */
  rn_distributed_optimizer *optimizer; /* not owned; NULL: weights are complete, no reduction */
  int dim, head;                       /* D; index of the head's layer group */
  rn_pipeline_schedule_shape schedule;
  rn_pipeline_schedule tasks; /* of a training step; empty in a pipeline for losses only */
  rn_slot *slot;              /* [tasks.pool] */
  rn_activations *loss_tape;  /* for evaluation between steps; aliases slot 0 if there are slots */
  float *token_loss;          /* [B, T] */
} rn_pipeline;

/** A stage's index and layers [first_layer, last_layer), its largest unit, and its schedule. */
typedef struct rn_pipeline_shape {
  int stage, first_layer, last_layer;
  int sequences, tokens;
  rn_pipeline_schedule_shape schedule; /* micro-batches 0: losses only */
  rn_save_policy keep;                 /* what forward saves for backward */
  uint64_t seed;                       /* of dropout */
} rn_pipeline_shape;

/** Memory of a pipeline. */
typedef struct rn_pipeline_sizes {
  int64_t parameters;      /* elements */
  int pool;                /* slots */
  size_t copy_bytes;       /* of the weights' bf16 shadow */
  size_t activation_bytes; /* of all slots: activations and gradients of rows */
  size_t work_bytes;       /* of the stage's workspace, and of evaluation */
} rn_pipeline_sizes;

/** Memory that rn_pipeline_create would use with this process's number of threads. */
rn_status rn_pipeline_measure(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                              rn_pipeline_sizes *out);

/** Creates the pipeline of one stage; `p2p` connects it to the others (NULL: single stage) and is
 * not owned. Errors: RN_ERR_MEMORY; too many units to count. */
rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                             rn_pipeline_p2p *p2p, rn_pipeline *out);
void rn_pipeline_destroy(rn_pipeline *pipeline);

/** From now on the pipeline waits for weights, and reports gradients, through `optimizer`, which
 * must outlive the pipeline. */
void rn_pipeline_attach(rn_pipeline *pipeline, rn_distributed_optimizer *optimizer);

/** Reproducible mode: the losses of a batch, one per reduction block, in the order of sequences. */
typedef struct rn_reduction_block_losses {
  double *loss;           /* [sequences, each] */
  int64_t first_sequence; /* global number of the batch's first sequence */
  int64_t first_position; /* of the first token of each sequence */
  int64_t each;           /* reduction blocks of a sequence; 0: not reproducible mode */
  int reduction_block;    /* tokens of a reduction block */
} rn_reduction_block_losses;

/**
 * Runs the units of a training step. Adds their losses to *loss_sum (last stage only) and `scale`
 * times the gradient of this stage's weights to `accumulator`. In reproducible mode the losses are
 * written to `block_losses` instead of *loss_sum.
 *
 * Shapes:     unit [micro-batches, segments].
 * Collective: over the stages of the pipeline and the ranks of `scan`.
 */
rn_status rn_pipeline_train(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                            rn_scan_source *scan, double scale,
                            const rn_reduction_block_losses *block_losses, double *loss_sum,
                            rn_grad_accumulator *accumulator);

/**
 * Forward and loss of one unit. The last stage stores the losses of the tokens [B, T] in token_loss
 * and adds their sum to *loss_sum. In reproducible mode it adds the loss of each reduction block to
 * *reduction_block_sum instead (may be NULL in other modes), so that the bits do not depend on the
 * layout.
 *
 * Collective: over the stages of the pipeline and the ranks of `port`: one FORWARD scan per layer.
 */
rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                   rn_form form, rn_scan_port *port, double *loss_sum,
                                   rn_exact_sum *reduction_block_sum);

#endif
