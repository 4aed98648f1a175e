/* Checks retention (model/retention/retention.h) in all forms: outputs, states and adjoints at
 * chunk boundaries, and packed documents. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/retention/retention.h"
#include "tests/golden/run.h"

/** Inputs of the case in the layout that rn_retention reads, and the outputs. Rows are [B, T, H,
 * width]. */
typedef struct core {
  golden_case *c;
  int B, H, T, K, V, chunk;
  const double *gamma;       /* [H] */
  rn_real *q, *k, *v, *d_o;  /* rows */
  rn_real *first, *last;     /* S0 and dST [B, H, K, V] */
  rn_real *zero, *state;     /* [B, H, K, V] */
  rn_real *o, *dq, *dk, *dv; /* rows */
  rn_real *alpha;            /* [B, T, H] */
  rn_real *swapped;          /* [B, H, T, width] */
  int32_t *doc_position;     /* [B, T] */
  const char *variant;
} core;

static void idle(void *self) {
  (void)self;
}

static const rn_scan_port no_port = {.poll = idle};

static golden_shape state_shape(const core *x) {
  return GOLDEN_SHAPE_4(x->B, x->H, x->K, x->V);
}

static int64_t state_count(const core *x) {
  return (int64_t)x->B * x->H * x->K * x->V;
}

static rn_status load_rows(rn_err *err, core *x, const char *name, int width, rn_real **out) {
  rn_real *values;
  const golden_shape shape = GOLDEN_SHAPE_4(x->B, x->H, x->T, width);
  RN_TRY(err, golden_reals(err, x->c, name, shape, &values));
  RN_TRY(err, golden_take(err, x->c, golden_count(shape), sizeof **out, out));
  golden_swap(x->B, x->H, x->T, width, values, *out);
  return RN_OK;
}

static rn_status load_inputs(rn_err *err, golden_case *c, core *x) {
  golden_shape q, v;
  RN_TRY(err, golden_shape_of(err, c, "in.q", 4, &q));
  RN_TRY(err, golden_shape_of(err, c, "in.v", 4, &v));
  *x = (core){.c = c,
              .B = (int)q.n[0],
              .H = (int)q.n[1],
              .T = (int)q.n[2],
              .K = (int)q.n[3],
              .V = (int)v.n[3]};
  RN_TRY(err, golden_int(err, c, "chunk", INT32_MAX, &x->chunk));
  RN_TRY(err, golden_load(err, c, "in.gamma.f64", GOLDEN_SHAPE_1(x->H), &x->gamma));
  for (int h = 0; h < x->H; h++) {
    if (x->gamma[h] > 0 && x->gamma[h] <= 1) continue;
    return rn_fail(err, RN_ERR_FORMAT, "%s: in.gamma.f64[%d] = %g does not lie in (0, 1]", c->path,
                   h, x->gamma[h]);
  }
  RN_TRY(err, load_rows(err, x, "in.q", x->K, &x->q));
  RN_TRY(err, load_rows(err, x, "in.k", x->K, &x->k));
  RN_TRY(err, load_rows(err, x, "in.v", x->V, &x->v));
  RN_TRY(err, load_rows(err, x, "in.do", x->V, &x->d_o));
  RN_TRY(err, golden_reals(err, c, "in.S0", state_shape(x), &x->first));
  RN_TRY(err, golden_reals(err, c, "in.dST", state_shape(x), &x->last));
  return RN_OK;
}

static rn_status take_outputs(rn_err *err, core *x) {
  const int64_t rows = (int64_t)x->B * x->T * x->H;
  const int wide = x->K > x->V ? x->K : x->V;
  RN_TRY(err, golden_take(err, x->c, state_count(x), sizeof(rn_real), &x->zero));
  RN_TRY(err, golden_take(err, x->c, state_count(x), sizeof(rn_real), &x->state));
  RN_TRY(err, golden_take(err, x->c, rows * x->V, sizeof(rn_real), &x->o));
  RN_TRY(err, golden_take(err, x->c, rows * x->K, sizeof(rn_real), &x->dq));
  RN_TRY(err, golden_take(err, x->c, rows * x->K, sizeof(rn_real), &x->dk));
  RN_TRY(err, golden_take(err, x->c, rows * x->V, sizeof(rn_real), &x->dv));
  RN_TRY(err, golden_take(err, x->c, rows, sizeof(rn_real), &x->alpha));
  RN_TRY(err, golden_take(err, x->c, rows * wide, sizeof(rn_real), &x->swapped));
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * x->T, sizeof(int32_t), &x->doc_position));
  return RN_OK;
}

static rn_status check_rows(rn_err *err, core *x, const rn_real *rows, int width,
                            const char *base) {
  golden_swap(x->B, x->T, x->H, width, rows, x->swapped);
  RN_TRY(err, golden_check(err, x->c, x->variant, x->swapped,
                           GOLDEN_SHAPE_4(x->B, x->H, x->T, width), "%s", base));
  return RN_OK;
}

static rn_status check_gradients(rn_err *err, core *x, const char *prefix) {
  char name[64];
  snprintf(name, sizeof name, "%sgrad.q", prefix);
  RN_TRY(err, check_rows(err, x, x->dq, x->K, name));
  snprintf(name, sizeof name, "%sgrad.k", prefix);
  RN_TRY(err, check_rows(err, x, x->dk, x->K, name));
  snprintf(name, sizeof name, "%sgrad.v", prefix);
  RN_TRY(err, check_rows(err, x, x->dv, x->V, name));
  return RN_OK;
}

/* Sets the decays to those of the file, which differ from the decays of a model's heads. */
static void set_decays(const core *x, rn_retention *r) {
  for (int h = 0; h < x->H; h++) {
    rn_real *power = r->power + (int64_t)h * (r->max_tokens + 1);
    rn_real *decay = r->decay + (int64_t)h * (r->chunk + 1);
    r->log_gamma[h] = log(x->gamma[h]);
    for (int i = 0; i <= r->max_tokens; i++) power[i] = (rn_real)exp(r->log_gamma[h] * i);
    for (int i = 0; i <= r->chunk; i++) decay[i] = power[r->chunk - i];
  }
}

static rn_status open_core(rn_err *err, const core *x, int chunk, rn_retention *r) {
  const rn_spec spec = {
      .layers = 1, .dim = x->H * x->K, .value_dim = x->H * x->V, .heads = x->H, .chunk = chunk};
  RN_TRY(err, rn_retention_create(err, &spec, x->T, r));
  set_decays(x, r);
  return RN_OK;
}

static rn_retention_view view_of(const core *x) {
  return (rn_retention_view){.sequences = x->B,
                             .tokens = x->T,
                             .doc_position = x->doc_position,
                             .q = rn_matrix_of_reals(x->q, x->H * x->K),
                             .k = rn_matrix_of_reals(x->k, x->H * x->K),
                             .v = rn_matrix_of_reals(x->v, x->H * x->V)};
}

/* Marks the rows as one document, of which `offset` tokens precede the rows. */
static void one_document(core *x, int offset) {
  for (int b = 0; b < x->B; b++) {
    for (int t = 0; t < x->T; t++) x->doc_position[b * x->T + t] = t + offset;
  }
}

/** States and adjoints of a chunkwise run. The case owns the memory. */
typedef struct chunk_states {
  int chunks;
  rn_real *states, *adjoints; /* [chunks + 1, B, H, K, V], at chunk boundaries 0..chunks */
} chunk_states;

/* Returns pointers to the arrays to which a run writes its gradients. A row of `dkv` contains a row
 * of dk, then a row of dv. */
static rn_retention_grads grads_of(const core *x, rn_real *dkv) {
  const int64_t ldo = (int64_t)x->H * x->V, ldk = (int64_t)x->H * x->K;
  return (rn_retention_grads){.d_o = rn_matrix_of_reals(x->d_o, ldo),
                              .dq = x->dq,
                              .dk = dkv,
                              .dv = dkv + ldk,
                              .lddq = ldk,
                              .lddkv = ldk + ldo};
}

/* Runs forward and backward in chunks. `before` is the state before the sequence, `behind` the
 * adjoint of the state after it. */
static rn_status run_chunks(rn_err *err, core *x, const rn_retention *r, const rn_real *before,
                            const rn_real *behind, chunk_states *out) {
  const rn_retention_view u = view_of(x);
  const int64_t each = state_count(x), ldo = (int64_t)x->H * x->V, ldk = (int64_t)x->H * x->K;
  const size_t bytes = (size_t)each * sizeof(rn_real);
  rn_real *own, *dkv;
  out->chunks = rn_retention_chunks(r, x->T);
  const int64_t all = (out->chunks + 1) * each, rows = (int64_t)x->B * x->T;
  RN_TRY(err, golden_take(err, x->c, all, sizeof(rn_real), &out->states));
  RN_TRY(err, golden_take(err, x->c, all, sizeof(rn_real), &out->adjoints));
  RN_TRY(err, golden_take(err, x->c, each, sizeof(rn_real), &own));
  RN_TRY(err, golden_take(err, x->c, rows * (ldk + ldo), sizeof(rn_real), &dkv));
  memcpy(x->state, before, bytes);
  rn_retention_forward_begin(r, &u, out->states, own);
  const rn_array states = rn_reals(out->states);
  const rn_retention_output rows_out = {x->o, ldo, x->alpha};
  rn_retention_forward_chunks(r, &u, &no_port, RN_TERM_INNER, states, &rows_out);
  rn_retention_propagate(r, &u, RN_SCAN_FORWARD,
                         &(rn_segment_states){x->state, NULL, out->states, states});
  rn_retention_forward_chunks(r, &u, &no_port, RN_TERM_CROSS, states, &rows_out);
  memcpy(out->states + out->chunks * each, x->state, bytes);

  /* rn_retention_propagate sets behind_it[i] to the adjoint after chunk i, and replaces `behind` in
   * out->adjoints[0] by the adjoint before the first chunk */
  rn_real *behind_it = out->adjoints + each;
  memcpy(out->adjoints, behind, bytes);
  const rn_retention_grads grads = grads_of(x, dkv);
  const rn_chunk_states boundaries = {states, rn_reals(behind_it)};
  rn_retention_backward_begin(r, &u, grads.d_o, behind_it, own);
  rn_retention_backward_chunks(r, &u, &no_port, RN_TERM_INNER, boundaries, &grads);
  rn_retention_propagate(
      r, &u, RN_SCAN_REVERSE,
      &(rn_segment_states){out->adjoints, NULL, behind_it, boundaries.adjoint_after});
  rn_retention_backward_chunks(r, &u, &no_port, RN_TERM_CROSS, boundaries, &grads);
  for (int64_t row = 0; row < rows; row++) {
    const rn_real *from = dkv + row * (ldk + ldo);
    memcpy(x->dk + row * ldk, from, (size_t)ldk * sizeof(rn_real));
    memcpy(x->dv + row * ldo, from + ldk, (size_t)ldo * sizeof(rn_real));
  }
  return RN_OK;
}

/* Checks the rows for one chunk size; with `boundaries` also the states and adjoints at chunk
 * boundaries, which the file contains only for one chunk size. */
static rn_status check_chunks(rn_err *err, core *x, const rn_retention *r, bool boundaries) {
  chunk_states s;
  one_document(x, 1);
  RN_TRY(err, run_chunks(err, x, r, x->first, x->last, &s));
  RN_TRY(err, check_rows(err, x, x->o, x->V, "out.o"));
  RN_TRY(err, golden_check(err, x->c, x->variant, x->state, state_shape(x), "out.ST"));
  RN_TRY(err, check_gradients(err, x, ""));
  RN_TRY(err, golden_check(err, x->c, x->variant, s.adjoints, state_shape(x), "grad.S0"));
  if (boundaries) {
    const golden_shape shape = GOLDEN_SHAPE_5(s.chunks + 1, x->B, x->H, x->K, x->V);
    RN_TRY(err, golden_check(err, x->c, x->variant, s.states, shape, "out.state_at_boundary"));
    RN_TRY(err, golden_check(err, x->c, x->variant, s.adjoints, shape, "grad.state_at_boundary"));
  }
  one_document(x, 0);
  RN_TRY(err, run_chunks(err, x, r, x->zero, x->zero, &s));
  RN_TRY(err, check_rows(err, x, x->o, x->V, "out.o_S0zero"));
  return RN_OK;
}

/* Sets doc_position from packed.cu_seqlens. This array contains the boundaries of the documents, 0
 * = c0 < c1 < ... = T, which are the same for all sequences. */
static rn_status packed_documents(rn_err *err, core *x) {
  golden_shape shape;
  int32_t *cu;
  RN_TRY(err, golden_shape_of(err, x->c, "packed.cu_seqlens", 1, &shape));
  RN_TRY(err, golden_load_ids(err, x->c, "packed.cu_seqlens", shape, (int64_t)x->T + 1, &cu));
  const int64_t last = shape.n[0] - 1;
  bool good = cu[0] == 0 && cu[last] == x->T;
  for (int64_t i = 0; i < last; i++) {
    good = good && cu[i] < cu[i + 1];
    for (int t = cu[i]; good && t < cu[i + 1]; t++) {
      for (int b = 0; b < x->B; b++) x->doc_position[b * x->T + t] = t - cu[i];
    }
  }
  if (good) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s: packed.cu_seqlens must rise from 0 to T", x->c->path);
}

static rn_status check_packed(rn_err *err, core *x, const rn_retention *r) {
  chunk_states s;
  RN_TRY(err, packed_documents(err, x));
  RN_TRY(err, run_chunks(err, x, r, x->zero, x->zero, &s));
  RN_TRY(err, check_rows(err, x, x->o, x->V, "packed.o"));
  RN_TRY(err, check_gradients(err, x, "packed."));
  return RN_OK;
}

/* Checks outputs and gradients of the parallel form, with packed documents or with one document per
 * sequence. */
static rn_status check_parallel(rn_err *err, core *x, const rn_retention *r, bool packed) {
  const int64_t ldo = (int64_t)x->H * x->V, ldk = (int64_t)x->H * x->K;
  const rn_real *before = packed ? x->zero : x->first, *behind = packed ? x->zero : x->last;
  if (packed) {
    RN_TRY(err, packed_documents(err, x));
  } else {
    one_document(x, 1);
  }
  const rn_retention_view u = view_of(x);
  rn_real *dkv;
  const int64_t rows = (int64_t)x->B * x->T;
  RN_TRY(err, golden_take(err, x->c, rows * (ldk + ldo), sizeof(rn_real), &dkv));
  rn_retention_parallel_forward(r, &u, before, x->o, ldo, NULL);
  const rn_retention_grads grads = grads_of(x, dkv);
  rn_retention_parallel_backward(r, &u, before, behind, &grads);
  for (int64_t row = 0; row < rows; row++) {
    const rn_real *from = dkv + row * (ldk + ldo);
    memcpy(x->dk + row * ldk, from, (size_t)ldk * sizeof(rn_real));
    memcpy(x->dv + row * ldo, from + ldk, (size_t)ldo * sizeof(rn_real));
  }
  RN_TRY(err, check_rows(err, x, x->o, x->V, packed ? "packed.o" : "out.o"));
  RN_TRY(err, check_gradients(err, x, packed ? "packed." : ""));
  return RN_OK;
}

static rn_status check_recurrent(rn_err *err, core *x, const rn_retention *r) {
  const int64_t ldo = (int64_t)x->H * x->V;
  const rn_retention_view u = view_of(x);
  one_document(x, 1);
  memcpy(x->state, x->first, (size_t)state_count(x) * sizeof(rn_real));
  rn_retention_recurrent(r, &u, x->state, x->o, ldo);
  RN_TRY(err, check_rows(err, x, x->o, x->V, "out.o"));
  RN_TRY(err, golden_check(err, x->c, x->variant, x->state, state_shape(x), "out.ST"));
  RN_TRY(err, packed_documents(err, x));
  memset(x->state, 0, (size_t)state_count(x) * sizeof(rn_real));
  rn_retention_recurrent(r, &u, x->state, x->o, ldo);
  RN_TRY(err, check_rows(err, x, x->o, x->V, "packed.o"));
  return RN_OK;
}

/* Checks the row sums S_n. The model multiplies row n by 1 / sqrt(S_n); the test computes S_n from
 * this factor. */
static rn_status check_row_sums(rn_err *err, core *x, const rn_retention *r) {
  one_document(x, 0);
  const rn_retention_view u = view_of(x);
  rn_retention_row_scale(r, &u, RN_FORM_RECURRENT, x->alpha);
  golden_swap(1, x->T, x->H, 1, x->alpha, x->swapped);
  for (int64_t i = 0; i < (int64_t)x->H * x->T; i++) {
    x->swapped[i] = 1 / (x->swapped[i] * x->swapped[i]);
  }
  RN_TRY(err,
         golden_check(err, x->c, x->variant, x->swapped, GOLDEN_SHAPE_2(x->H, x->T), "out.rowsum"));
  return RN_OK;
}

static rn_status check_all(rn_err *err, core *x, const rn_retention *r, int chunk) {
  char variant[32];
  snprintf(variant, sizeof variant, "chunk %d", chunk);
  x->variant = variant;
  RN_TRY(err, check_chunks(err, x, r, chunk == x->chunk));
  if (golden_has(x->c, "packed.cu_seqlens")) RN_TRY(err, check_packed(err, x, r));
  if (chunk != x->chunk) return RN_OK;
  x->variant = "row scale";
  RN_TRY(err, check_row_sums(err, x, r));
  x->variant = "recurrent";
  RN_TRY(err, check_recurrent(err, x, r));
  x->variant = "parallel";
  RN_TRY(err, check_parallel(err, x, r, false));
  if (golden_has(x->c, "packed.cu_seqlens")) RN_TRY(err, check_parallel(err, x, r, true));
  return RN_OK;
}

rn_status RN_NAME(golden_run_core)(rn_err *err, golden_case *c) {
  core x;
  RN_TRY(err, load_inputs(err, c, &x));
  RN_TRY(err, take_outputs(err, &x));
  const int chunks[] = {x.chunk, 1, 3, x.T};
  for (int i = 0; i < 4; i++) {
    if (i > 0 && chunks[i] == x.chunk) continue;
    rn_retention r = {0};
    rn_status status = open_core(err, &x, chunks[i], &r);
    if (status == RN_OK) status = check_all(err, &x, &r, chunks[i]);
    rn_retention_destroy(&r);
    if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  }
  return RN_OK;
}
