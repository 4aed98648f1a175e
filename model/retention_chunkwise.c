/* The chunkwise form, forward and backward: products of one chunk of one head at a time. */
#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/kernel/products.h"
#include "model/retention.h"

/* One chunk of one head of one sequence. */
typedef struct chunk_view {
  int b, h, c, first, length;
  const int32_t *since;                            /* of its rows */
  int last_boundary;                               /* last row that begins a document, or -1 */
  const rn_real *q, *k, *v, *power, *mask;         /* its first rows */
  rn_real *weights, *d_weights, *scaled, *product; /* this thread's work space */
  int64_t state;                                   /* place of its state in states */
} chunk_view;

static chunk_view chunk_at(const rn_retention *r, const rn_retention_view *u, int64_t index) {
  const int chunks = rn_retention_chunks(r, u->tokens), C = r->chunk;
  chunk_view w = {.c = (int)(index % chunks),
                  .h = (int)(index / chunks % r->heads),
                  .b = (int)(index / chunks / r->heads)};
  w.first = w.c * C;
  w.length = u->tokens - w.first < C ? u->tokens - w.first : C;
  const int64_t row = (int64_t)w.b * u->tokens + w.first;
  w.since = u->since + row;
  w.last_boundary = -1;
  for (int i = 0; i < w.length; i++) {
    if (w.since[i] == 0) w.last_boundary = i;
  }
  w.q = u->q + row * u->ldq + (int64_t)w.h * r->key_width;
  w.k = u->k + row * u->ldk + (int64_t)w.h * r->key_width;
  w.v = u->v + row * u->ldv + (int64_t)w.h * r->value_width;
  w.power = r->power + (int64_t)w.h * (r->max_tokens + 1);
  w.mask = r->mask + (int64_t)w.h * C * C;
  w.weights = r->work + omp_get_thread_num() * r->work_each;
  w.d_weights = w.weights + (int64_t)C * C;
  w.scaled = w.d_weights + (int64_t)C * C;
  w.product = w.scaled + (int64_t)C * r->key_width;
  w.state = (((int64_t)w.c * u->sequences + w.b) * r->heads + w.h) * r->key_width * r->value_width;
  return w;
}

static int64_t chunk_count(const rn_retention *r, const rn_retention_view *u) {
  return (int64_t)u->sequences * r->heads * rn_retention_chunks(r, u->tokens);
}

/* xi_i: how much of the state before the chunk row i sees. */
static rn_real seen(const chunk_view *w, int i) {
  return w->since[i] > i ? w->power[i + 1] : 0;
}

/* zeta_i: how much of row i is left in the state after the chunk. */
static rn_real left(const chunk_view *w, int i) {
  return i >= w->last_boundary ? w->power[w->length - 1 - i] : 0;
}

static rn_real chunk_factor(const chunk_view *w) {
  return w->last_boundary >= 0 ? 0 : w->power[w->length];
}

static void scale_rows(const chunk_view *w, const rn_real *x, int64_t ldx, int width,
                       rn_real (*factor)(const chunk_view *, int), rn_real *out) {
  for (int i = 0; i < w->length; i++) {
    const rn_real f = factor(w, i);
    for (int e = 0; e < width; e++) out[(int64_t)i * width + e] = f * x[i * ldx + e];
  }
}

static void add_scaled_rows(const chunk_view *w, const rn_real *x, int width,
                            rn_real (*factor)(const chunk_view *, int), rn_real *out, int64_t ldo) {
  for (int i = 0; i < w->length; i++) {
    const rn_real f = factor(w, i);
    for (int e = 0; e < width; e++) out[i * ldo + e] += f * x[(int64_t)i * width + e];
  }
}

/* weights [L, L] *= D: decay below the diagonal, nothing above it or from another document. */
static void apply_mask(const rn_retention *r, const chunk_view *w, rn_real *weights) {
  for (int i = 0; i < w->length; i++) {
    rn_real *row = weights + (int64_t)i * w->length;
    const rn_real *decay = w->mask + (int64_t)i * r->chunk;
    const int first = w->since[i] < i ? i - w->since[i] : 0;
    for (int j = 0; j < first; j++) row[j] = 0;
    for (int j = first; j <= i; j++) row[j] *= decay[j];
    for (int j = i + 1; j < w->length; j++) row[j] = 0;
  }
}

/* out = what lies in front of chunk c, for all chunks of a (b, h), in the direction of the scan. */
static void fold_states(const rn_retention *r, const rn_retention_view *u,
                        rn_scan_direction direction, const rn_real *start, rn_real *states,
                        rn_real *out) {
  const int chunks = rn_retention_chunks(r, u->tokens);
  const int64_t m = (int64_t)r->key_width * r->value_width;
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    rn_real *sum = out + bh * m;
    if (start == NULL) {
      memset(sum, 0, (size_t)m * sizeof *sum);
    } else {
      memmove(sum, start + bh * m, (size_t)m * sizeof *sum);
    }
    for (int step = 0; step < chunks; step++) {
      const int c = direction == RN_SCAN_FORWARD ? step : chunks - 1 - step;
      const chunk_view w = chunk_at(r, u, bh * chunks + c);
      const rn_real factor = chunk_factor(&w);
      rn_real *state = states + w.state;
      for (int64_t i = 0; i < m; i++) {
        const rn_real own = state[i];
        if (start != NULL) state[i] = sum[i];
        sum[i] = factor * sum[i] + own;
      }
    }
  }
}

void rn_retention_forward_begin(const rn_retention *r, const rn_retention_view *u, rn_real *states,
                                rn_real *own) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    scale_rows(&w, w.k, u->ldk, K, left, w.scaled);
    products->tn(K, V, w.length, 1, w.scaled, K, w.v, u->ldv, 0, states + w.state, V);
  }
  fold_states(r, u, RN_SCAN_FORWARD, NULL, states, own);
}

static void sum_abs(const rn_retention *r, const rn_retention_view *u, const chunk_view *w,
                    rn_real *row_abs) {
  for (int i = 0; i < w->length; i++) {
    rn_real sum = 0;
    for (int j = 0; j <= i; j++)
      sum += (rn_real)fabs((double)w->weights[(int64_t)i * w->length + j]);
    row_abs[((int64_t)w->b * u->tokens + w->first + i) * r->heads + w->h] = sum;
  }
}

void rn_retention_forward_inner(const rn_retention *r, const rn_retention_view *u,
                                const rn_scan_port *port, rn_real *o, int64_t ldo,
                                rn_real *row_abs) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    const int L = w.length;
    products->nt(L, L, K, 1, w.q, u->ldq, w.k, u->ldk, 0, w.weights, L);
    apply_mask(r, &w, w.weights);
    if (row_abs != NULL) sum_abs(r, u, &w, row_abs);
    rn_real *rows = o + ((int64_t)w.b * u->tokens + w.first) * ldo + (int64_t)w.h * V;
    products->nn(L, V, L, 1, w.weights, L, w.v, u->ldv, 0, rows, ldo);
    if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
  }
}

/* alpha of torchscale's chunkwise and parallel forms, from the sums of |weights| left in it. */
static void scale_by_weights(const rn_retention *r, const rn_retention_view *u, const chunk_view *w,
                             const rn_real *state, rn_real *alpha) {
  const int K = r->key_width, V = r->value_width;
  const double log_gamma = r->log_gamma[w->h];
  double cross = 1;
  if (r->scale == RN_SCALE_TS_CHUNKWISE) {
    double largest = 0;
    for (int e = 0; e < V; e++) {
      double sum = 0;
      for (int d = 0; d < K; d++) sum += fabs((double)state[(int64_t)d * V + e]);
      largest = fmax(largest, sum);
    }
    double chunk_sum = log_gamma == 0 ? r->chunk : expm1(r->chunk * log_gamma) / expm1(log_gamma);
    cross = fmax(1, largest / chunk_sum);
  }
  for (int i = 0; i < w->length; i++) {
    const double S = log_gamma == 0 ? i + 1 : expm1((i + 1) * log_gamma) / expm1(log_gamma);
    rn_real *a = alpha + ((int64_t)w->b * u->tokens + w->first + i) * r->heads + w->h;
    double inner = fmax(1, (double)*a / sqrt(S));
    if (r->scale == RN_SCALE_TS_PARALLEL) inner = fmin(inner, 5e4);
    *a = (rn_real)(1 / (sqrt(S) * fmax(inner, cross)));
  }
}

void rn_retention_forward_end(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                              rn_real *states, rn_real *o, int64_t ldo, rn_real *alpha) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
  const bool by_weights = rn_retention_scale_needs_weights(r);
  fold_states(r, u, RN_SCAN_FORWARD, state, states, state);
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    scale_rows(&w, w.q, u->ldq, K, seen, w.scaled);
    rn_real *rows = o + ((int64_t)w.b * u->tokens + w.first) * ldo + (int64_t)w.h * V;
    products->nn(w.length, V, K, 1, w.scaled, K, states + w.state, V, 1, rows, ldo);
    if (by_weights) scale_by_weights(r, u, &w, states + w.state, alpha);
  }
  if (!by_weights) rn_retention_row_scale(r, u, RN_FORM_CHUNKWISE, alpha);
}

void rn_retention_backward_begin(const rn_retention *r, const rn_retention_view *u,
                                 const rn_real *d_o, int64_t ldo, rn_real *adjoints, rn_real *own) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    const rn_real *rows = d_o + ((int64_t)w.b * u->tokens + w.first) * ldo + (int64_t)w.h * V;
    scale_rows(&w, w.q, u->ldq, K, seen, w.scaled);
    products->tn(K, V, w.length, 1, w.scaled, K, rows, ldo, 0, adjoints + w.state, V);
  }
  fold_states(r, u, RN_SCAN_REVERSE, NULL, adjoints, own);
}

void rn_retention_backward_inner(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, const rn_real *d_o, int64_t ldo,
                                 rn_real *dq, int64_t lddq, rn_real *dk, rn_real *dv,
                                 int64_t lddkv) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    const int L = w.length;
    const int64_t row = (int64_t)w.b * u->tokens + w.first;
    const rn_real *rows = d_o + row * ldo + (int64_t)w.h * V;
    products->nt(L, L, K, 1, w.q, u->ldq, w.k, u->ldk, 0, w.weights, L);
    products->nt(L, L, V, 1, rows, ldo, w.v, u->ldv, 0, w.d_weights, L);
    apply_mask(r, &w, w.weights);
    apply_mask(r, &w, w.d_weights);
    products->nn(L, K, L, 1, w.d_weights, L, w.k, u->ldk, 0, dq + row * lddq + w.h * K, lddq);
    products->tn(L, K, L, 1, w.d_weights, L, w.q, u->ldq, 0, dk + row * lddkv + w.h * K, lddkv);
    products->tn(L, V, L, 1, w.weights, L, rows, ldo, 0, dv + row * lddkv + w.h * V, lddkv);
    if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
  }
}

void rn_retention_backward_end(const rn_retention *r, const rn_retention_view *u,
                               const rn_real *d_o, int64_t ldo, const rn_real *states,
                               rn_real *adjoint, rn_real *adjoints, rn_real *dq, int64_t lddq,
                               rn_real *dk, rn_real *dv, int64_t lddkv) {
  const rn_products *products = rn_products_table();
  const int K = r->key_width, V = r->value_width;
  fold_states(r, u, RN_SCAN_REVERSE, adjoint, adjoints, adjoint);
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t index = 0; index < chunk_count(r, u); index++) {
    const chunk_view w = chunk_at(r, u, index);
    const int L = w.length;
    const int64_t row = (int64_t)w.b * u->tokens + w.first;
    const rn_real *rows = d_o + row * ldo + (int64_t)w.h * V;
    products->nt(L, K, V, 1, rows, ldo, states + w.state, V, 0, w.product, K);
    add_scaled_rows(&w, w.product, K, seen, dq + row * lddq + w.h * K, lddq);
    products->nt(L, K, V, 1, w.v, u->ldv, adjoints + w.state, V, 0, w.product, K);
    add_scaled_rows(&w, w.product, K, left, dk + row * lddkv + w.h * K, lddkv);
    scale_rows(&w, w.k, u->ldk, K, left, w.scaled);
    products->nn(L, V, K, 1, w.scaled, K, adjoints + w.state, V, 1, dv + row * lddkv + w.h * V,
                 lddkv);
  }
}
