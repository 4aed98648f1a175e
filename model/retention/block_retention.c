#include "model/retention/block_retention.h"

#include <omp.h>
#include <string.h>

#include "model/ops/load_row.h"
#include "model/retention/block_retention_rows.h"
#include "model/retention/eager_completion.h"
#include "model/retention/first_token.h"
#include "proto/base/span.h"

/* Returns q, k and v for the forms without chunks, which compute in rn_real. If the block is in
 * bf16, these are widened copies. */
static rn_retention_view view_without_chunks(const rn_retention_rows *rows) {
  const rn_block_retention *b = rows->b;
  const rn_block_retention_activations *activations = rows->activations;
  rn_retention_view u = rn_retention_rows_view(rows);
  if (!b->bf16) return u;
  u.q = rn_matrix_of_reals(activations->q, b->dim);
  u.k = rn_matrix_of_reals(activations->kv_reals, b->ld_pair);
  u.v = rn_matrix_of_reals(activations->kv_reals + b->dim, b->ld_pair);
  return u;
}

static void widen_kv(const rn_block_retention *b, const rn_block_retention_activations *activations,
                     int64_t rows) {
  if (!b->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = row * b->ld_pair;
    b->core.kernels->widen_bf16(b->ld_pair, rn_array_bf16s(activations->kv) + at,
                                activations->kv_reals + at);
  }
}

static void widen_q(const rn_block_retention *b, const rn_block_retention_activations *activations,
                    int64_t rows) {
  if (!b->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    b->core.kernels->widen_bf16(b->dim, rn_array_bf16s(activations->qg) + row * b->ld_pair,
                                activations->q + row * b->dim);
  }
}

/* Computes t->own, the contribution of this segment to the state, in the given form. */
static void contribute(const rn_block_retention *b, const rn_retention_view *u, rn_form form,
                       const rn_block_retention_activations *t) {
  const size_t bytes = (size_t)u->sequences * (size_t)b->heads * (size_t)b->key_width *
                       (size_t)b->value_width * sizeof(rn_real);
  switch (form) {
    case RN_FORM_CHUNKWISE:
      rn_retention_forward_begin(&b->core, u, t->chunk_states, t->own);
      break;
    case RN_FORM_PARALLEL:
      rn_retention_parallel_own(&b->core, u, t->own);
      break;
    case RN_FORM_RECURRENT:
      memset(t->own, 0, bytes);
      rn_retention_recurrent(&b->core, u, t->own, NULL, 0);
      break;
  }
}

/* Computes the output o and the row scale alpha, for the forms without chunks. */
static void retain_without_chunks(const rn_block_retention *b, const rn_retention_view *u,
                                  rn_form form, rn_block_retention_activations *activations) {
  const bool by_weights = form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_PARALLEL;
  if (form == RN_FORM_RECURRENT) {
    rn_retention_recurrent(&b->core, u, activations->state, activations->o, b->value_dim);
  } else {
    rn_retention_parallel_forward(&b->core, u, activations->received, activations->o, b->value_dim,
                                  by_weights ? activations->alpha : NULL);
  }
  rn_retention_row_scale(&b->core, u, form, activations->alpha);
}

/* Recomputes o of one head of the first token of a document in double; see first_token.h. */
static void retain_first_token(const rn_retention_rows *work, rn_block_rows in, int64_t row,
                               int head) {
  const rn_block_retention *b = work->b;
  const rn_first_token shape = {b->dim, b->key_width, b->value_width};
  const rn_real *raw = in.raw + row * b->dim, *params = work->pass->params;
  const int64_t weights = (int64_t)head * b->key_width * b->dim;
  const int64_t at = (int64_t)head * b->value_width;
  double *x = (double *)(void *)rn_retention_scratch(&b->core);
  rn_real *o = work->activations->o + row * b->value_dim + at;
  if (in.norm != NULL) {
    rn_norm_row_fp64(in.norm, params, raw, x);
  } else {
    for (int i = 0; i < b->dim; i++) x[i] = (double)raw[i];
  }
  const rn_real *v = rn_row_load(b->core.kernels, work->activations->kv,
                                 row * b->ld_pair + b->dim + at, b->value_width, o);
  rn_first_token_retain(shape, x, params + work->at->q + weights, params + work->at->k + weights, v,
                        o);
}

/* Recomputes o of the first token of each document. A task is one head of one document, because one
 * task per head or one per document would be too few for many threads. With n threads, each thread
 * takes every n-th task. */
static void retain_first_tokens(const rn_retention_rows *work, rn_block_rows in) {
  const rn_unit *unit = work->pass->unit;
  const int64_t rows = (int64_t)unit->sequences * unit->tokens;
#pragma omp parallel num_threads(work->b->core.threads)
  {
    const int threads = omp_get_num_threads();
    int next = omp_get_thread_num(); /* number of tasks to skip before this thread's next task */
    for (int64_t row = 0; row < rows; row++) {
      if (unit->doc_position[row] != 0) continue;
      for (int head = 0; head < work->b->heads; head++) {
        if (next-- > 0) continue;
        const double begin_s = rn_span_task_begin();
        retain_first_token(work, in, row, head);
        rn_span_task_end(begin_s);
        next = threads - 1;
      }
    }
  }
}

/* Computes the retention in the chunkwise form. While the scan is in flight, computes q, g and the
 * inner terms of the chunks; after the scan, the cross terms. If the state arrives during the
 * projections, both terms are computed in one loop over the chunks. */
static rn_status retain_in_chunks(rn_err *err, const rn_retention_rows *work,
                                  const rn_retention_view *u) {
  rn_scan_port *port = work->pass->port;
  const rn_block_retention *b = work->b;
  const rn_block_retention_activations *activations = work->activations;
  const rn_retention_output out = {activations->o, b->value_dim, activations->alpha};
  const rn_segment_states states = {activations->state, activations->received,
                                    activations->chunk_states, activations->states};
  rn_eager_completion completion;
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_QG);
  rn_eager_completion_start(&completion, port, RN_SCAN_FORWARD, &b->core, u, states);
  rn_span_phase("q, g projections");
  rn_retention_rows_qg(work, &completion.port);
  const bool arrived = completion.arrived;
  if (!arrived) {
    rn_span_phase("retention within chunks");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_INNER);
    rn_retention_forward_chunks(&b->core, u, &completion.port, RN_TERM_INNER, states.before, &out);
    rn_eager_completion_run_weights(&completion,
                                    work->pass->queue); /* weight gradients of other units */
  }
  rn_span_phase(arrived ? "retention (all terms)" : "retention across chunks");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_CROSS);
  RN_TRY(err, rn_eager_completion_finish(err, &completion));
  rn_retention_forward_chunks(&b->core, u, port, arrived ? RN_TERM_BOTH : RN_TERM_CROSS,
                              states.before, &out);
  return RN_OK;
}

/* For the forms without chunks, copies the received state to `received`, which forward reads, and,
 * unless they are in bf16, to `states`, which backward reads. */
static void keep_state_received(const rn_block_retention_activations *t, size_t bytes) {
  memcpy(t->received, t->state, bytes);
  if (!t->states.bf16) memcpy(rn_array_reals(t->states), t->state, bytes);
}

rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *b,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_rows in,
                                     rn_block_retention_activations *activations) {
  const rn_unit *unit = pass->unit;
  const rn_form form = pass->form;
  const int64_t rows = (int64_t)unit->sequences * unit->tokens;
  rn_scan_port *port = pass->port;
  const int heads = unit->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const bool chunkwise = form == RN_FORM_CHUNKWISE;
  const rn_retention_rows work = {b, layer, pass, activations, .in = in.x, .out = in.y};
  const rn_retention_view u =
      chunkwise ? rn_retention_rows_view(&work) : view_without_chunks(&work);
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  activations->form = form;
  if (form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_CHUNKWISE) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "model.retention_scale ts_chunkwise cannot be computed in the parallel form: use "
        "the chunkwise form, or the recurrent form for generation");
  }

  rn_span_phase("k, v projections");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_KV);
  rn_retention_rows_kv(&work);
  rn_span_phase(chunkwise ? "chunk states" : "segment states");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_STATES);
  if (!chunkwise) widen_kv(b, activations, rows);
  contribute(b, &u, form, activations);
  rn_retention_decays(&b->core, &u, activations->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_FORWARD, layer->index,
                          (rn_scan_element){heads, m, activations->log_decay, activations->own}));

  if (chunkwise) {
    RN_TRY(err, retain_in_chunks(err, &work, &u));
  } else {
    rn_span_phase("q, g projections");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_QG);
    rn_retention_rows_qg(&work, port);
    rn_span_phase("retention (all terms)");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_CROSS);
    RN_TRY(err, port->end(port->self, err, activations->state));
    keep_state_received(activations, (size_t)(heads * m) * sizeof(rn_real));
    widen_q(b, activations, rows);
    retain_without_chunks(b, &u, form, activations);
  }
  rn_span_phase("retention of first tokens");
  retain_first_tokens(&work, in);
  rn_span_phase("head norm, gate, out projection");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_OUT);
  rn_retention_rows_out(&work, port);
  return RN_OK;
}
