#include "trainer/pipeline.h"

#include <stdlib.h>

#include "proto/arena.h"

rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, int max_sequences, int max_tokens,
                             uint64_t seed, bool train, rn_pipeline *out) {
  *out = (rn_pipeline){0};
  const size_t rows = (size_t)max_sequences * (size_t)max_tokens, width = (size_t)spec->dim;
  rn_status status;
  if ((status = rn_stage_create(err, spec, 0, spec->layers, max_sequences, max_tokens, seed,
                                &out->stage)) != RN_OK ||
      (train && (status = rn_tape_create(err, out->stage, true, &out->tape)) != RN_OK) ||
      (status = rn_tape_create(err, out->stage, false, &out->loss_tape)) != RN_OK ||
      (status = rn_alloc(err, "rows", rows * width, sizeof(float), &out->rows)) != RN_OK ||
      (train && (status = rn_alloc(err, "gradients of rows", rows * width, sizeof(float),
                                   &out->d_rows)) != RN_OK) ||
      (status = rn_alloc(err, "losses of tokens", rows, sizeof(float), &out->token_loss)) !=
          RN_OK) {
    rn_pipeline_destroy(out);
  }
  return status;
}

void rn_pipeline_destroy(rn_pipeline *pipeline) {
  rn_tape_destroy(&pipeline->tape);
  rn_tape_destroy(&pipeline->loss_tape);
  rn_stage_destroy(&pipeline->stage);
  free(pipeline->rows);
  free(pipeline->d_rows);
  free(pipeline->token_loss);
  *pipeline = (rn_pipeline){0};
}

rn_status rn_pipeline_train_unit(rn_err *err, rn_pipeline *p, const rn_unit *unit,
                                 rn_scan_port *port, double scale, double *loss_sum,
                                 rn_sink *sink) {
  double loss = 0;
  RN_TRY(err, rn_stage_forward(err, p->stage, p->params, unit, RN_FORM_CHUNKWISE, true, port, NULL,
                               p->rows, p->tape));
  rn_stage_loss(p->stage, p->params, unit, p->rows, scale, &loss, NULL, p->d_rows, sink);
  RN_TRY(err, rn_stage_backward_input(err, p->stage, p->params, unit, port, p->tape, p->d_rows,
                                      NULL, sink));
  rn_stage_backward_weight(p->stage, unit, p->tape, sink);
  *loss_sum += loss;
  return RN_OK;
}

rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *p, const rn_unit *unit, rn_form form,
                                   rn_scan_port *port, double *loss_sum) {
  double loss = 0;
  RN_TRY(err, rn_stage_forward(err, p->stage, p->params, unit, form, false, port, NULL, p->rows,
                               p->loss_tape));
  rn_stage_loss(p->stage, p->params, unit, p->rows, 0, &loss, p->token_loss, NULL, NULL);
  *loss_sum += loss;
  return RN_OK;
}
