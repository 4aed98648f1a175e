/**
 * Runs a step's units through the stage of this rank: forward, loss, both halves of backward.
 *
 * One stage for now: units are micro-batches, one after the other.
 */
#ifndef RN_TRAINER_PIPELINE_H
#define RN_TRAINER_PIPELINE_H

#include "model/stage.h"

/** A stage with its weights and the buffers between its ends. */
typedef struct rn_pipeline {
  rn_stage *stage;
  rn_tape *tape;        /* of training; NULL where only losses are asked for */
  rn_tape *loss_tape;   /* of evaluation: layers share it */
  const float *params;  /* [total], not owned */
  float *rows, *d_rows; /* [B, T, D] */
  float *token_loss;    /* [B, T] */
} rn_pipeline;

/** A pipeline for units of at most B sequences, T tokens. `train`: with what backward needs. */
rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, int max_sequences, int max_tokens,
                             uint64_t seed, bool train, rn_pipeline *out);
void rn_pipeline_destroy(rn_pipeline *pipeline);

/**
 * Adds a unit's loss to *loss_sum and, into `sink`, scale times its gradient.
 * Collective: over the ranks behind `port`: one scan per layer and direction.
 */
rn_status rn_pipeline_train_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                 rn_scan_port *port, double scale, double *loss_sum, rn_sink *sink);

/**
 * Adds a unit's loss to *loss_sum; the losses of its tokens [B, T] are in token_loss afterwards.
 * Collective: over the ranks behind `port`: one FORWARD scan per layer.
 */
rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *pipeline, const rn_unit *unit,
                                   rn_form form, rn_scan_port *port, double *loss_sum);

#endif
