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

#include "model/stage/stage.h"
#include "trainer/optimizer/distributed_optimizer.h"
#include "trainer/parallel/exact_sum.h"
#include "trainer/parallel/row_transfer.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/schedule/pipeline_schedule.h"

/** The memory and the messages of one unit in flight. */
typedef struct rn_slot {
  rn_stage_slot *memory;
  rn_row_transfer rows_in, rows_out, gradient_in, gradient_out;
} rn_slot;

/** A stage with its schedule and its slots. */
typedef struct rn_pipeline {
  rn_stage *stage;
  rn_pipeline_p2p *p2p;                /* to neighbouring stages, not owned; NULL: single stage */
  rn_comm_thread *comm_thread;         /* owns MPI while the stage computes; not owned; or NULL */
  rn_distributed_optimizer *optimizer; /* not owned; NULL: weights are complete, no reduction */
  int dim, head;                       /* D; index of the head's layer group */
  rn_pipeline_schedule_shape schedule;
  rn_pipeline_schedule tasks; /* of a training step; empty in a pipeline for losses only */
  rn_slot *slot;              /* [tasks.pool] */
  rn_slot loss_slot;          /* for evaluation between steps; reuses slot 0 if there are slots */
  float *token_loss;          /* [B, T] */
} rn_pipeline;

/** A stage's index and layers [first_layer, last_layer), its largest unit, and its schedule. */
typedef struct rn_pipeline_shape {
  int stage, first_layer, last_layer;
  int sequences, tokens;
  rn_pipeline_schedule_shape schedule; /* micro-batches 0: losses only */
  rn_save_policy save;                 /* what forward saves for backward */
  uint64_t seed;                       /* of dropout */
} rn_pipeline_shape;

/** Memory of a pipeline. */
typedef struct rn_pipeline_sizes {
  int64_t parameters;      /* elements */
  int pool;                /* slots */
  size_t copy_bytes;       /* of the weights' bf16 shadow */
  size_t activation_bytes; /* of all slots: activations and gradients of rows */
  size_t work_bytes;       /* of the stage's workspace, and of evaluation */
  rn_buffer_plan buffers;  /* of the stage: activations and workspace */
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

/**
 * The loss of a batch. In reproducible mode, one sum per reduction block, in the order of
 * sequences, in place of the total.
 */
typedef struct rn_batch_loss {
  double sum;             /* not in reproducible mode */
  double *block;          /* [sequences, each] */
  int64_t first_sequence; /* global number of the batch's first sequence */
  int64_t first_position; /* of the first token of each sequence */
  int64_t each;           /* reduction blocks of a sequence; 0: not reproducible mode */
} rn_batch_loss;

/**
 * Runs the units of a training step. Adds their losses to *loss (last stage only), which begins
 * with zeros, and `scale` times the gradient of this stage's weights to the stage's gradient.
 *
 * Shapes:     unit [micro-batches, segments].
 * Collective: over the stages of the pipeline and the ranks of `scan`.
 * Errors:     RN_ERR_MPI; those of the stage.
 */
rn_status rn_pipeline_train(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                            rn_scan_source *scan, double scale, rn_batch_loss *loss);

/** A sum of losses: `exact` in reproducible mode, which adds one loss per reduction block. */
typedef struct rn_loss_sum {
  double plain;
  rn_exact_sum exact;
} rn_loss_sum;

/**
 * Forward and loss of one unit. The last stage stores the losses of the tokens [B, T] in token_loss
 * and adds their sum to *sum; in reproducible mode its bits do not depend on the layout.
 *
 * Collective: over the stages of the pipeline and the ranks of `port`: one FORWARD scan per layer.
 * Errors:     RN_ERR_MPI; those of the stage.
 */
rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                   rn_form form, rn_scan_port *port, rn_loss_sum *sum);

#endif
