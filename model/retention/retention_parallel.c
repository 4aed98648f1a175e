/* Computes the parallel form row by row, directly from the formula. This is slow and serves as a
 * reference for tests. */
#include <math.h>
#include <string.h>

#include "model/retention/retention.h"

/* One head of one sequence; ld* are the row strides of q, k and v. */
typedef struct head_view {
  const int32_t *doc_position;
  const rn_real *q, *k, *v, *power;
  int64_t ldq, ldk, ldv;
  int tokens, K, V;
} head_view;

static head_view head_at(const rn_retention *r, const rn_retention_view *u, int64_t bh) {
  const int64_t b = bh / r->heads, h = bh % r->heads, row = b * u->tokens;
  return (head_view){.doc_position = u->doc_position + row,
                     .q = rn_array_reals(u->q.x) + row * u->q.ld + h * r->key_width,
                     .k = rn_array_reals(u->k.x) + row * u->k.ld + h * r->key_width,
                     .v = rn_array_reals(u->v.x) + row * u->v.ld + h * r->value_width,
                     .power = r->power + h * (r->max_tokens + 1),
                     .ldq = u->q.ld,
                     .ldk = u->k.ld,
                     .ldv = u->v.ld,
                     .tokens = u->tokens,
                     .K = r->key_width,
                     .V = r->value_width};
}

/* The gradients of one head of one sequence; see rn_retention_grads. */
typedef struct head_grads {
  const rn_real *d_o;
  rn_real *dq, *dk, *dv;
  int64_t ldo, lddq, lddkv;
} head_grads;

static head_grads head_grads_at(const rn_retention *r, const rn_retention_view *u,
                                const rn_retention_grads *g, int64_t bh) {
  const int64_t h = bh % r->heads, row = bh / r->heads * u->tokens;
  return (head_grads){.d_o = rn_array_reals(g->d_o.x) + row * g->d_o.ld + h * r->value_width,
                      .dq = g->dq + row * g->lddq + h * r->key_width,
                      .dk = g->dk + row * g->lddkv + h * r->key_width,
                      .dv = g->dv + row * g->lddkv + h * r->value_width,
                      .ldo = g->d_o.ld,
                      .lddq = g->lddq,
                      .lddkv = g->lddkv};
}

static rn_real dot(const rn_real *a, const rn_real *b, int n) {
  rn_real sum = 0;
  for (int i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void axpy(rn_real a, const rn_real *x, rn_real *y, int n) {
  for (int i = 0; i < n; i++) y[i] += a * x[i];
}

static int first_visible(const head_view *w, int n) {
  return w->doc_position[n] < n ? n - w->doc_position[n] : 0;
}

static int last_boundary(const head_view *w) {
  int last = 0;
  for (int t = 0; t < w->tokens; t++) {
    if (w->doc_position[t] == 0) last = t;
  }
  return last;
}

void rn_retention_parallel_own(const rn_retention *r, const rn_retention_view *u, rn_real *own) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    rn_real *state = own + bh * w.K * w.V;
    memset(state, 0, (size_t)w.K * (size_t)w.V * sizeof *state);
    for (int m = last_boundary(&w); m < w.tokens; m++) {
      for (int d = 0; d < w.K; d++) {
        axpy(w.power[w.tokens - 1 - m] * w.k[m * w.ldk + d], w.v + m * w.ldv, state + d * w.V, w.V);
      }
    }
  }
}

void rn_retention_parallel_forward(const rn_retention *r, const rn_retention_view *u,
                                   const rn_real *before, rn_real *o, int64_t ldo,
                                   rn_real *row_abs) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    const int64_t row = bh / r->heads * u->tokens, h = bh % r->heads;
    for (int n = 0; n < w.tokens; n++) {
      const rn_real *q = w.q + n * w.ldq;
      rn_real *out = o + (row + n) * ldo + h * w.V, sum = 0;
      memset(out, 0, (size_t)w.V * sizeof *out);
      for (int m = first_visible(&w, n); m <= n; m++) {
        const rn_real weight = w.power[n - m] * dot(q, w.k + m * w.ldk, w.K);
        sum += (rn_real)fabs((double)weight);
        axpy(weight, w.v + m * w.ldv, out, w.V);
      }
      if (row_abs != NULL) row_abs[(row + n) * r->heads + h] = sum;
      if (w.doc_position[n] <= n) continue;
      for (int d = 0; d < w.K; d++) {
        axpy(w.power[n + 1] * q[d], before + (bh * w.K + d) * w.V, out, w.V);
      }
    }
  }
}

void rn_retention_parallel_adjoint_own(const rn_retention *r, const rn_retention_view *u,
                                       rn_matrix d_o, rn_real *own) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    const rn_real *rows =
        rn_array_reals(d_o.x) + bh / r->heads * u->tokens * d_o.ld + bh % r->heads * w.V;
    rn_real *adjoint = own + bh * w.K * w.V;
    memset(adjoint, 0, (size_t)w.K * (size_t)w.V * sizeof *adjoint);
    for (int n = 0; n < w.tokens && w.doc_position[n] > n; n++) {
      for (int d = 0; d < w.K; d++) {
        axpy(w.power[n + 1] * w.q[n * w.ldq + d], rows + n * d_o.ld, adjoint + d * w.V, w.V);
      }
    }
  }
}

static void inner_backward(const head_view *w, const head_grads *g) {
  for (int n = 0; n < w->tokens; n++) {
    const rn_real *q = w->q + n * w->ldq, *d_o = g->d_o + n * g->ldo;
    memset(g->dq + n * g->lddq, 0, (size_t)w->K * sizeof *g->dq);
    memset(g->dk + n * g->lddkv, 0, (size_t)w->K * sizeof *g->dk);
    memset(g->dv + n * g->lddkv, 0, (size_t)w->V * sizeof *g->dv);
    for (int m = first_visible(w, n); m <= n; m++) {
      const rn_real decay = w->power[n - m];
      const rn_real weight = decay * dot(q, w->k + m * w->ldk, w->K);
      const rn_real d_weight = decay * dot(d_o, w->v + m * w->ldv, w->V);
      axpy(d_weight, w->k + m * w->ldk, g->dq + n * g->lddq, w->K);
      axpy(d_weight, q, g->dk + m * g->lddkv, w->K);
      axpy(weight, d_o, g->dv + m * g->lddkv, w->V);
    }
  }
}

/* Adds to the gradients the contributions of the state before the segment and of the adjoint of the
 * state after the segment. */
static void cross_backward(const head_view *w, const head_grads *g, const rn_real *before,
                           const rn_real *adjoint_after) {
  for (int n = 0; n < w->tokens && w->doc_position[n] > n; n++) {
    for (int d = 0; d < w->K; d++) {
      g->dq[n * g->lddq + d] += w->power[n + 1] * dot(g->d_o + n * g->ldo, before + d * w->V, w->V);
    }
  }
  for (int m = last_boundary(w); m < w->tokens; m++) {
    const rn_real left = w->power[w->tokens - 1 - m];
    for (int d = 0; d < w->K; d++) {
      const rn_real *adjoint = adjoint_after + d * w->V;
      g->dk[m * g->lddkv + d] += left * dot(w->v + m * w->ldv, adjoint, w->V);
      axpy(left * w->k[m * w->ldk + d], adjoint, g->dv + m * g->lddkv, w->V);
    }
  }
}

void rn_retention_parallel_backward(const rn_retention *r, const rn_retention_view *u,
                                    const rn_real *before, const rn_real *adjoint_after,
                                    const rn_retention_grads *grads) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    const head_grads g = head_grads_at(r, u, grads, bh);
    inner_backward(&w, &g);
    cross_backward(&w, &g, before + bh * w.K * w.V, adjoint_after + bh * w.K * w.V);
  }
}
