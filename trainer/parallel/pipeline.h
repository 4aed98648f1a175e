/**
 * Executes a pipeline schedule on the stage of this rank: forward, both phases of backward, and the
 * transfer of rows and their gradients between neighbouring stages. A row is the activation vector
 * of one token at a stage boundary.
 *
 * Every unit (a segment of a micro-batch) in flight has a slot with its activations, its rows and
 * their gradient. Messages use the slot's buffers directly: the receive for rows is posted as soon
 * as the slot is free, the receive for their gradient as soon as forward of the unit is done, and
 * both are sent from the buffers in which they were computed. Each receive is therefore posted
 * before its message is needed, no send waits for another send, and no data is copied.
 */
#ifndef RN_TRAINER_PARALLEL_PIPELINE_H
#define RN_TRAINER_PARALLEL_PIPELINE_H

#include "model/stage/stage.h"
#include "trainer/optimizer/distributed_optimizer.h"
#include "trainer/parallel/exact_sum.h"
#include "trainer/parallel/row_source.h"
#include "trainer/parallel/row_transfer.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/schedule/pipeline_schedule.h"

/** The memory and the messages of a unit in flight. */
typedef struct rn_slot {
  rn_stage_slot *memory;
  rn_row_transfer rows_in, rows_out, gradient_in, gradient_out;
} rn_slot;

/** A stage with its schedule and its slots. */
typedef struct rn_pipeline {
  rn_stage *stage;
  rn_pipeline_p2p *p2p;        /* connects neighbouring stages, not owned; NULL: single stage */
  rn_comm_thread *comm_thread; /* calls MPI while the stage computes; not owned; NULL: none */
  rn_distributed_optimizer *optimizer; /* not owned; NULL: no all-gather and no reduce-scatter */
  rn_row_source *rows; /* keys and values of other parts of sequences; not owned; NULL: unused */
  int dim, head;       /* D, and the index of the head's layer group */
  rn_pipeline_schedule_shape schedule;
  rn_pipeline_schedule tasks; /* schedule of a training step; empty if only losses are computed */
  rn_slot *slot;              /* [tasks.pool] */
  rn_slot loss_slot; /* slot for evaluation between steps; reuses the memory of slot[0], if any */
  float *token_loss; /* [B, T] */
} rn_pipeline;

/**
 * A stage's index and layers [first_layer, last_layer), the size of its largest unit, and its
 * schedule.
 */
typedef struct rn_pipeline_shape {
  int stage, first_layer, last_layer;
  int sequences, tokens;
  int keys; /* if a unit holds only a part of each sequence: number of tokens of a whole sequence,
               whose keys attention layers read; else 0 */
  rn_pipeline_schedule_shape schedule; /* 0 micro-batches: losses only */
  rn_save_policy save;                 /* what forward saves for backward */
  uint64_t seed;                       /* seed of dropout */
} rn_pipeline_shape;

/** Memory of a pipeline, from rn_pipeline_measure. */
typedef struct rn_pipeline_sizes {
  int64_t parameters;      /* number of elements */
  int pool;                /* number of slots */
  size_t copy_bytes;       /* bf16 shadow of the weights */
  size_t activation_bytes; /* all slots: activations and gradients of rows */
  size_t work_bytes;       /* workspace of the stage, and buffers of evaluation */
  rn_buffer_plan buffers;  /* buffers of the stage: activations and workspace */
} rn_pipeline_sizes;

/** Computes the memory that rn_pipeline_create would use with this process's number of threads. */
rn_status rn_pipeline_measure(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                              rn_pipeline_sizes *out);

/**
 * Creates the pipeline of one stage; `p2p` connects it to the other stages (NULL: single stage) and
 * is not owned. Errors: RN_ERR_MEMORY; those of rn_pipeline_schedule_create.
 */
rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                             rn_pipeline_p2p *p2p, rn_pipeline *out);
void rn_pipeline_destroy(rn_pipeline *pipeline);

/**
 * Attaches `optimizer`, which must outlive the pipeline. From then on the pipeline waits for
 * weights and reports gradients through it.
 */
void rn_pipeline_attach(rn_pipeline *pipeline, rn_distributed_optimizer *optimizer);

/**
 * The loss of a batch: its total or, in reproducible mode, one sum per reduction block, in the
 * order of the sequences.
 */
typedef struct rn_batch_loss {
  double sum;             /* total; not used in reproducible mode */
  double *block;          /* [sequences, each] reproducible mode: sums of the blocks */
  int64_t first_sequence; /* global index of the batch's first sequence */
  int64_t first_position; /* position of the first token of each sequence */
  int64_t each;           /* number of reduction blocks per sequence; 0 outside reproducible mode */
} rn_batch_loss;

/** The data of a training step. */
typedef struct rn_pipeline_batch {
  const rn_unit *unit;       /* [micro-batches, segments] */
  rn_tbptt_streams *streams; /* states kept between steps; NULL: sequences start from zero */
} rn_pipeline_batch;

/**
 * Runs the units of a training step. Adds the losses to *loss (on the last stage only; the caller
 * sets it to zero first), and adds the gradient of this stage's weights times `scale` to the
 * stage's gradient.
 *
 * Collective: over the stages of the pipeline and the ranks of `scan`.
 * Errors:     RN_ERR_MPI; those of the stage.
 */
rn_status rn_pipeline_train(rn_err *err, rn_pipeline *pipeline, rn_pipeline_batch batch,
                            rn_scan_source *scan, double scale, rn_batch_loss *loss);

/**
 * A sum of losses. Reproducible mode uses `exact`, to which one loss per reduction block is added;
 * other modes use `plain`.
 */
typedef struct rn_loss_sum {
  double plain;
  rn_exact_sum exact;
} rn_loss_sum;

/**
 * Parameters of rn_pipeline_loss_of_unit: the form of the retention, and the ports of the pass. */
typedef struct rn_loss_pass {
  rn_form form;
  rn_scan_port *port;
  rn_row_port *rows; /* exchanges keys and values; NULL: whole sequences, or no attention layers */
} rn_loss_pass;

/**
 * Runs forward and computes the loss of one unit. The last stage stores the losses of the tokens
 * [B, T] in token_loss and adds them to *sum. In reproducible mode the sum is bit-identical for
 * every layout.
 *
 * Collective: over the stages of the pipeline and the ranks of the ports: one FORWARD scan, or
 *             exchange of keys and values, per layer.
 * Errors:     RN_ERR_MPI; those of the stage.
 */
rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                   rn_loss_pass how, rn_loss_sum *sum);

#endif
