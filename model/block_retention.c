#include "model/block_retention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/first_token.h"
#include "model/matmul.h"
#include "proto/span.h"

static int64_t state_count(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->heads * b->key_width * b->value_width;
}

static int64_t rows_of(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->max_tokens;
}

static int pair_width(const rn_block_retention *b) {
  return b->dim + b->value_dim;
}

static size_t reals(int64_t count) {
  return rn_arena_round((size_t)count * sizeof(rn_real));
}

static rn_real *take(rn_arena *arena, int64_t count) {
  return rn_arena_take(arena, (size_t)count * sizeof(rn_real));
}

static int64_t all_states(const rn_block_retention *b) {
  const int chunks = rn_retention_chunks(&b->core, b->max_tokens);
  return state_count(b) * (chunks > 0 ? chunks : 1);
}

rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences,
                                            int max_tokens) {
  return (rn_block_retention){.dim = spec->dim,
                              .value_dim = spec->value_dim,
                              .heads = spec->heads,
                              .key_width = rn_spec_key_width(spec),
                              .value_width = rn_spec_value_width(spec),
                              .max_sequences = max_sequences,
                              .max_tokens = max_tokens,
                              .gate = spec->gate,
                              .head_norm = spec->head_norm,
                              .eps = spec->norm_eps,
                              .core = rn_retention_shape(spec, max_tokens)};
}

static size_t decays_bytes(const rn_block_retention *b) {
  return (size_t)b->max_sequences * (size_t)b->heads * sizeof(double);
}

static size_t arena_bytes(const rn_block_retention *b) {
  const int64_t rows = rows_of(b);
  return 2 * reals(state_count(b)) + reals(all_states(b)) + reals(rows * b->value_dim) +
         reals(rows * pair_width(b)) + reals(rows * b->dim) + rn_arena_round(decays_bytes(b)) +
         rn_arena_round((size_t)b->dim * sizeof(double));
}

size_t rn_block_retention_bytes(const rn_block_retention *b) {
  return arena_bytes(b) + rn_retention_bytes(&b->core) +
         rn_rotary_bytes(b->key_width, b->max_tokens);
}

rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out) {
  *out = rn_block_retention_shape(spec, max_sequences, max_tokens);
  const int64_t rows = rows_of(out);
  rn_status status = rn_retention_create(err, spec, max_tokens, &out->core);
  if (status == RN_OK) {
    status = rn_rotary_create(err, spec->rotary, out->key_width, max_tokens, &out->rotary);
  }
  if (status == RN_OK) status = rn_arena_create(err, arena_bytes(out), &out->arena);
  if (status != RN_OK) {
    rn_block_retention_destroy(out);
    return status;
  }
  out->own = take(&out->arena, state_count(out));
  out->state = take(&out->arena, state_count(out));
  out->adjoints = take(&out->arena, all_states(out));
  out->d_value = take(&out->arena, rows * out->value_dim);
  out->d_kv = take(&out->arena, rows * pair_width(out));
  out->d_q = take(&out->arena, rows * out->dim);
  out->log_decay = rn_arena_take(&out->arena, decays_bytes(out));
  out->wide_row = rn_arena_take(&out->arena, (size_t)out->dim * sizeof(double));
  return RN_OK;
}

void rn_block_retention_destroy(rn_block_retention *block) {
  rn_retention_destroy(&block->core);
  rn_rotary_destroy(&block->rotary);
  rn_arena_destroy(&block->arena);
}

size_t rn_block_retention_tape_bytes(const rn_block_retention *b) {
  const int64_t rows = rows_of(b);
  return 2 * reals(rows * pair_width(b)) + 2 * reals(rows * b->value_dim) +
         2 * reals(rows * b->heads) + reals(all_states(b));
}

rn_block_retention_tape rn_block_retention_tape_take(const rn_block_retention *b, rn_arena *arena) {
  const int64_t rows = rows_of(b);
  return (rn_block_retention_tape){.kv = take(arena, rows * pair_width(b)),
                                   .qg = take(arena, rows * pair_width(b)),
                                   .normed = take(arena, rows * b->value_dim),
                                   .gated = take(arena, rows * b->value_dim),
                                   .alpha = take(arena, rows * b->heads),
                                   .factor = take(arena, rows * b->heads),
                                   .states = take(arena, all_states(b))};
}

static rn_retention_view view_of(const rn_block_retention *b, const rn_unit *unit,
                                 const rn_block_retention_tape *tape) {
  return (rn_retention_view){.sequences = unit->sequences,
                             .tokens = unit->tokens,
                             .since = unit->since,
                             .q = tape->qg,
                             .k = tape->kv,
                             .v = tape->kv + b->dim,
                             .ldq = pair_width(b),
                             .ldk = pair_width(b),
                             .ldv = pair_width(b)};
}

static rn_head_norm_shape norm_shape(const rn_block_retention *b) {
  return (rn_head_norm_shape){b->head_norm, b->heads, b->value_width, b->eps};
}

static int qg_width(const rn_block_retention *b) {
  return b->gate ? pair_width(b) : b->dim;
}

/* Keys are scaled, queries are not: their product is then that of RetNet's eq. 5. */
static rn_real key_scale(const rn_block_retention *b) {
  return (rn_real)(1 / sqrt((double)b->key_width));
}

/* What blocks of rows go through, forward or backward: arrays of all rows. */
typedef struct rows_pass {
  const rn_block_retention *b;
  const rn_real *params;
  const rn_layer_params *at;
  int tokens;
  const rn_block_retention_tape *tape;
  const rn_real *in; /* x forward, dy backward */
  rn_real *out;      /* y forward, dx backward */
} rows_pass;

static const rn_real *head_weight(const rows_pass *p) {
  return p->at->head_norm >= 0 ? p->params + p->at->head_norm : NULL;
}

static rn_real *gate_of(const rows_pass *p) {
  return p->b->gate ? p->tape->qg + p->b->dim : NULL;
}

static void project_kv(const void *self, rn_range rows) {
  const rows_pass *p = self;
  const int D = p->b->dim, pair = pair_width(p->b);
  rn_block_nt_exact(rows, pair, D, p->in, D, p->params + p->at->k, D, p->tape->kv, pair);
  rn_rotary_apply(&p->b->rotary, p->tokens, rows, p->b->heads, false, key_scale(p->b), p->tape->kv,
                  pair);
}

static void project_qg(const void *self, rn_range rows) {
  const rows_pass *p = self;
  const int D = p->b->dim, pair = pair_width(p->b);
  rn_block_nt_exact(rows, qg_width(p->b), D, p->in, D, p->params + p->at->q, D, p->tape->qg, pair);
  rn_rotary_apply(&p->b->rotary, p->tokens, rows, p->b->heads, false, 1, p->tape->qg, pair);
}

static void norm_gate_and_project(const void *self, rn_range rows) {
  const rows_pass *p = self;
  const rn_block_retention_tape *t = p->tape;
  const int D = p->b->dim, Vd = p->b->value_dim;
  rn_head_norm_forward(norm_shape(p->b), rows, t->alpha, t->normed, t->factor);
  rn_gate_forward(norm_shape(p->b), rows, t->normed, head_weight(p), gate_of(p), pair_width(p->b),
                  t->gated);
  rn_block_nt(rows, D, Vd, t->gated, Vd, p->params + p->at->out, Vd, 0, p->out, D);
}

/* The form's own contribution to the state, and the row scale of forms that need no weights. */
static void contribute(rn_block_retention *b, const rn_retention_view *u, rn_form form,
                       rn_real *states) {
  const size_t bytes = (size_t)u->sequences * (size_t)b->heads * (size_t)b->key_width *
                       (size_t)b->value_width * sizeof(rn_real);
  switch (form) {
    case RN_FORM_CHUNKWISE:
      rn_retention_forward_begin(&b->core, u, states, b->own);
      break;
    case RN_FORM_PARALLEL:
      rn_retention_parallel_own(&b->core, u, b->own);
      break;
    case RN_FORM_RECURRENT:
      memset(b->own, 0, bytes);
      rn_retention_recurrent(&b->core, u, b->own, NULL, 0);
      break;
  }
}

/* o from the state before the piece, for the forms without chunks; alpha as the scale wants it. */
static void retain_without_chunks(rn_block_retention *b, const rn_retention_view *u, rn_form form,
                                  rn_block_retention_tape *tape) {
  const bool by_weights = form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_PARALLEL;
  if (form == RN_FORM_RECURRENT) {
    rn_retention_recurrent(&b->core, u, b->state, tape->normed, b->value_dim);
  } else {
    rn_retention_parallel_forward(&b->core, u, tape->states, tape->normed, b->value_dim,
                                  by_weights ? tape->alpha : NULL);
  }
  rn_retention_row_scale(&b->core, u, form, tape->alpha);
}

/* Rows that see themselves alone, again and with care. */
static void retain_first_tokens(rn_block_retention *b, const rn_real *params,
                                const rn_layer_params *at, const rn_unit *unit, rn_block_input in,
                                rn_block_retention_tape *tape) {
  const rn_first_token shape = {b->dim, b->heads, b->key_width, b->value_width};
  for (int64_t row = 0; row < (int64_t)unit->sequences * unit->tokens; row++) {
    if (unit->since[row] != 0) continue;
    const rn_real *raw = in.raw + row * b->dim;
    if (in.norm != NULL) {
      rn_norm_row_wide(in.norm, params, raw, b->wide_row);
    } else {
      for (int i = 0; i < b->dim; i++) b->wide_row[i] = (double)raw[i];
    }
    rn_first_token_retain(shape, b->wide_row, params + at->q, params + at->k,
                          tape->kv + row * pair_width(b) + b->dim,
                          tape->normed + row * b->value_dim);
  }
}

rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *b, const rn_real *params,
                                     const rn_layer_params *at, const rn_unit *unit, rn_form form,
                                     int layer, rn_scan_port *port, rn_block_input in,
                                     rn_block_retention_tape *tape, rn_real *y) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int heads = unit->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const rn_retention_view u = view_of(b, unit, tape);
  const rows_pass pass = {b, params, at, unit->tokens, tape, in.x, y};
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  tape->form = form;
  if (form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_CHUNKWISE) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.retention_scale ts_chunkwise has no parallel form: use chunkwise, or "
                   "recurrent for generation");
  }

  rn_span_phase("k, v projection");
  rn_each_block(rows, NULL, project_kv, &pass);
  rn_span_phase("states of chunks");
  contribute(b, &u, form, tape->states);
  rn_retention_decays(&b->core, &u, b->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_FORWARD, layer, heads, m, b->log_decay, b->own));

  rn_span_phase("q, g projection");
  rn_each_block(rows, port, project_qg, &pass);
  rn_span_phase("retention inside chunks");
  if (form == RN_FORM_CHUNKWISE) {
    rn_retention_forward_inner(&b->core, &u, port, tape->normed, b->value_dim,
                               rn_retention_scale_needs_weights(&b->core) ? tape->alpha : NULL);
  }

  rn_span_phase("retention across chunks");
  RN_TRY(err, port->end(port->self, err, b->state));
  if (form == RN_FORM_CHUNKWISE) {
    rn_retention_forward_states(&b->core, &u, b->state, tape->states);
    if (port->pass != NULL) RN_TRY(err, port->pass(port->self, err, b->state));
    rn_retention_forward_cross(&b->core, &u, port, tape->states, tape->normed, b->value_dim,
                               tape->alpha);
  } else {
    memcpy(tape->states, b->state, (size_t)(heads * m) * sizeof(rn_real));
    retain_without_chunks(b, &u, form, tape);
  }
  rn_span_phase("first tokens");
  retain_first_tokens(b, params, at, unit, in, tape);
  rn_span_phase("head norm, gate, out projection");
  rn_each_block(rows, port, norm_gate_and_project, &pass);
  return RN_OK;
}

/* From the gradient of the retention's output (in d_value) to those of q, k, v: the scan in it. */
static rn_status core_backward(rn_err *err, rn_block_retention *b, const rn_retention_view *u,
                               int layer, rn_scan_port *port, const rn_block_retention_tape *tape) {
  const int D = b->dim, ldv = b->value_dim, pair = pair_width(b), heads = u->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const bool chunkwise = tape->form == RN_FORM_CHUNKWISE;
  assert(tape->form != RN_FORM_RECURRENT);
  rn_span_phase("states of chunks");
  if (chunkwise) {
    rn_retention_backward_begin(&b->core, u, b->d_value, ldv, b->adjoints, b->own);
  } else {
    rn_retention_parallel_adjoint_own(&b->core, u, b->d_value, ldv, b->own);
  }
  rn_retention_decays(&b->core, u, b->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_REVERSE, layer, heads, m, b->log_decay, b->own));
  rn_span_phase("retention inside chunks");
  if (chunkwise) {
    rn_retention_backward_inner(&b->core, u, port, b->d_value, ldv, b->d_q, D, b->d_kv, b->d_kv + D,
                                pair);
  }
  rn_span_phase("retention across chunks");
  RN_TRY(err, port->end(port->self, err, b->state));
  if (chunkwise) {
    rn_retention_backward_states(&b->core, u, b->state, b->adjoints);
    if (port->pass != NULL) RN_TRY(err, port->pass(port->self, err, b->state));
    rn_retention_backward_cross(&b->core, u, port, b->d_value, ldv, tape->states, b->adjoints,
                                b->d_q, D, b->d_kv, b->d_kv + D, pair);
  } else {
    rn_retention_parallel_backward(&b->core, u, b->d_value, ldv, tape->states, b->state, b->d_q, D,
                                   b->d_kv, b->d_kv + D, pair);
  }
  return RN_OK;
}

/* From dy to the gradient of the normed rows' gate and weight, and without a weight of o. */
static void project_and_gate_backward(const void *self, rn_range rows) {
  const rows_pass *p = self;
  const rn_block_retention *b = p->b;
  const int D = b->dim, Vd = b->value_dim;
  rn_block_nn(rows, Vd, D, p->in, D, p->params + p->at->out, Vd, 0, b->d_value, Vd);
  rn_gate_backward(norm_shape(b), rows, p->tape->normed, head_weight(p), gate_of(p), pair_width(b),
                   b->d_value);
  if (head_weight(p) != NULL) return;
  rn_head_norm_backward(norm_shape(b), rows, p->tape->normed, p->tape->factor, b->d_value);
}

static void norm_backward(const void *self, rn_range rows) {
  const rows_pass *p = self;
  rn_head_norm_backward(norm_shape(p->b), rows, p->tape->normed, p->tape->factor, p->b->d_value);
}

/* From the gradients of q, k, v, which go on the tape beside that of g, to dx. */
static void project_qkvg_backward(const void *self, rn_range rows) {
  const rows_pass *p = self;
  const rn_block_retention *b = p->b;
  const rn_block_retention_tape *t = p->tape;
  const int D = b->dim, pair = pair_width(b);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    memcpy(t->qg + row * pair, b->d_q + row * D, (size_t)D * sizeof(rn_real));
    memcpy(t->kv + row * pair, b->d_kv + row * pair, (size_t)pair * sizeof(rn_real));
  }
  rn_rotary_apply(&b->rotary, p->tokens, rows, b->heads, true, 1, t->qg, pair);
  rn_rotary_apply(&b->rotary, p->tokens, rows, b->heads, true, key_scale(b), t->kv, pair);
  rn_block_nn(rows, D, pair, t->kv, pair, p->params + p->at->k, D, 0, p->out, D);
  rn_block_nn(rows, D, qg_width(b), t->qg, pair, p->params + p->at->q, D, 1, p->out, D);
}

rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *b,
                                            const rn_real *params, const rn_layer_params *at,
                                            const rn_unit *unit, int layer, rn_scan_port *port,
                                            const rn_real *dy, rn_block_retention_tape *tape,
                                            rn_real *dx, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const rn_retention_view u = view_of(b, unit, tape);
  const rows_pass pass = {b, params, at, unit->tokens, tape, dy, dx};
  const rn_real *weight = head_weight(&pass);
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  rn_span_phase("head norm, gate, out projection");
  rn_each_block(rows, NULL, project_and_gate_backward, &pass);
  if (weight != NULL) {
    rn_head_weight_backward(norm_shape(b), rows, tape->normed, weight, at->head_norm, b->d_value,
                            sink);
    rn_each_block(rows, NULL, norm_backward, &pass);
  }
  RN_TRY(err, core_backward(err, b, &u, layer, port, tape));
  rn_span_phase("k, v, q, g projections");
  rn_each_block(rows, NULL, project_qkvg_backward, &pass);
  return RN_OK;
}

void rn_block_retention_backward_weight(const rn_block_retention *b, const rn_layer_params *at,
                                        rn_rows rows, const rn_real *x, const rn_real *dy,
                                        const rn_block_retention_tape *tape, rn_sink *sink) {
  const int D = b->dim, pair = pair_width(b);
  rn_span_phase("weight products");
  rn_sink_product(sink, at->k, pair, D, rows, tape->kv, pair, x, D);
  rn_sink_product(sink, at->q, qg_width(b), D, rows, tape->qg, pair, x, D);
  rn_sink_product(sink, at->out, D, b->value_dim, rows, dy, D, tape->gated, b->value_dim);
}
