/* Computes the gradients of the retention block, in the reverse order of block_retention.c. */
#include "model/retention/block_retention.h"

#include <assert.h>
#include <stddef.h>

#include "model/retention/block_retention_rows.h"
#include "model/retention/eager_completion.h"
#include "proto/base/span.h"

/* Returns the arrays for the gradients of q, k and v. The gradient of q is written to dx. */
static rn_retention_grads grads_of(const rn_block_retention *b,
                                   const rn_block_retention_activations *t, rn_real *dx) {
  return (rn_retention_grads){.d_o = {t->d_o, b->value_dim},
                              .dq = dx,
                              .dk = t->d_kv,
                              .dv = t->d_kv + b->dim,
                              .lddq = b->dim,
                              .lddkv = b->ld_pair};
}

/* Computes the deferred weight gradients and polls the port meanwhile. */
static void run_waiting_weights(const rn_block_retention_activations *t, rn_weight_queue *queue,
                                const rn_scan_port *port) {
  rn_span_phase("weight gradient GEMMs");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_SCAN_WEIGHT);
  if (queue != NULL) rn_weight_queue_finish(queue, port);
}

/* Does the work of core_backward that follows the start of the scan, for the chunkwise form. While
 * the scan is in flight, computes weight gradients, then the inner terms of the chunks; after the
 * scan, the cross terms. If the state arrives during the weight gradients, both terms are computed
 * in one loop over the chunks. */
static rn_status chunks_backward(rn_err *err, const rn_retention_rows *work,
                                 const rn_retention_view *u, const rn_retention_grads *grads) {
  const rn_block_retention *b = work->b;
  const rn_block_retention_activations *t = work->activations;
  const rn_pass *pass = work->pass;
  rn_scan_port *port = pass->port;
  const rn_segment_states adjoints = {t->state, NULL, t->d_chunk_states, t->adjoints};
  const rn_chunk_states states = {t->states, t->adjoints};
  rn_eager_completion completion;
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_SCAN_WEIGHT);
  rn_eager_completion_start(&completion, port, RN_SCAN_REVERSE, &b->core, u, adjoints);
  if (pass->weights) run_waiting_weights(t, pass->queue, &completion.port);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_INNER);
  const bool arrived = completion.arrived;
  if (!arrived) {
    rn_span_phase("retention within chunks");
    rn_retention_backward_chunks(&b->core, u, &completion.port, RN_TERM_INNER, states, grads);
    rn_eager_completion_run_weights(&completion, pass->queue); /* weight gradients of other units */
  }
  rn_span_phase(arrived ? "retention (all terms)" : "retention across chunks");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_CROSS);
  RN_TRY(err, rn_eager_completion_finish(err, &completion));
  rn_retention_backward_chunks(&b->core, u, port, arrived ? RN_TERM_BOTH : RN_TERM_CROSS, states,
                               grads);
  return RN_OK;
}

/* Computes the gradients of q, k and v from the gradient of o; includes the scan. */
static rn_status core_backward(rn_err *err, const rn_retention_rows *work) {
  const rn_block_retention *b = work->b;
  const rn_pass *pass = work->pass;
  const rn_retention_view view = rn_retention_rows_view(work), *u = &view;
  rn_scan_port *port = pass->port;
  const rn_block_retention_activations *activations = work->activations;
  const rn_retention_grads grads = grads_of(b, activations, work->out);
  const int heads = u->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const bool chunkwise = activations->form == RN_FORM_CHUNKWISE;
  assert(chunkwise || (activations->form == RN_FORM_PARALLEL && !b->bf16));
  rn_span_phase(chunkwise ? "chunk states" : "segment states");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_STATES);
  if (chunkwise) {
    rn_retention_backward_begin(&b->core, u, grads.d_o, activations->d_chunk_states,
                                activations->own);
  } else {
    rn_retention_parallel_adjoint_own(&b->core, u, grads.d_o, activations->own);
  }
  rn_retention_decays(&b->core, u, activations->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_REVERSE, work->at->index,
                          (rn_scan_element){heads, m, activations->log_decay, activations->own}));
  if (chunkwise) return chunks_backward(err, work, u, &grads);
  if (pass->weights) run_waiting_weights(activations, pass->queue, port);
  rn_span_phase("retention (all terms)");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_CROSS);
  RN_TRY(err, port->end(port->self, err, activations->state));
  rn_retention_parallel_backward(&b->core, u, rn_array_reals(activations->states),
                                 activations->state, &grads);
  return RN_OK;
}

/* Accumulates the weight gradient of the output projection. If its operands stay live long enough,
 * defers it until the scan is in flight. */
static void accumulate_out(const rn_retention_rows *work) {
  const rn_pass *pass = work->pass;
  const rn_block_retention_activations *t = work->activations;
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  const rn_weight_product out = rn_block_retention_product_out(work->b, work->at, work->in, t);
  rn_span_phase("weight gradient GEMMs");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_OUT_WEIGHT);
  if (t->defers_out) {
    rn_grad_accumulator_defer(pass->accumulator, pass->queue, rows, &out, 1);
  } else {
    rn_grad_accumulator_products(pass->accumulator, pass->queue, rows, &out, 1);
  }
}

/* Computes the gradients of g and o from dy, and accumulates the gradient of the head norm's
 * weight. */
static void out_backward(const rn_retention_rows *work) {
  const rn_pass *pass = work->pass;
  const rn_gate gate = rn_retention_rows_gate(work);
  rn_span_phase("head norm, gate, out projection");
  rn_workspace_begin(work->activations->workspace, RN_UNIT_PHASE_D_OUT);
  rn_retention_rows_out_backward(work);
  if (gate.w == NULL) return;
  const rn_head_weight_grads grads = {&gate, work->at->head_norm, work->activations->d_o,
                                      work->b->sums};
  rn_head_weight_backward(rn_retention_rows_norm(work), rn_rows_of_unit(pass->unit), &grads,
                          pass->accumulator);
  rn_retention_rows_norm_backward(work);
}

rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *b,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_grads grads,
                                            rn_block_retention_activations *activations) {
  const rn_unit *unit = pass->unit;
  const rn_retention_rows work = {b, layer, pass, activations, .in = grads.dy, .out = grads.dx};
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  out_backward(&work);
  if (pass->weights) accumulate_out(&work);
  RN_TRY(err, core_backward(err, &work));
  rn_span_phase("k, v, q, g projections");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_QKVG);
  rn_retention_rows_qkvg_backward(&work);
  return RN_OK;
}

rn_weight_product rn_block_retention_product_out(
    const rn_block_retention *b, const rn_layer_params *at, rn_array dy,
    const rn_block_retention_activations *activations) {
  return (rn_weight_product){
      {at->out, b->dim, b->value_dim}, {dy, b->dim}, {activations->gated, b->ld_gated}};
}

void rn_block_retention_products_in(const rn_block_retention *b, const rn_layer_params *at,
                                    rn_array x, const rn_block_retention_activations *activations,
                                    rn_weight_product out[2]) {
  const rn_matrix input = {x, b->dim};
  out[0] = (rn_weight_product){{at->k, b->pair, b->dim}, {activations->kv, b->ld_pair}, input};
  out[1] = (rn_weight_product){
      {at->q, rn_block_retention_qg_width(b), b->dim}, {activations->qg, b->ld_pair}, input};
}
