/* The parallel form, computed row by row directly from its formula: slow, the oracle of tests. */
#include <math.h>
#include <string.h>

#include "model/retention/retention.h"

/* One head of one sequence. */
typedef struct head_view {
  const int32_t *doc_position;
  const rn_real *q, *k, *v, *power;
  int tokens, K, V;
} head_view;

static head_view head_at(const rn_retention *r, const rn_retention_view *u, int64_t bh) {
  const int64_t b = bh / r->heads, h = bh % r->heads, row = b * u->tokens;
  return (head_view){.doc_position = u->doc_position + row,
                     .q = rn_array_reals(u->q) + row * u->ldq + h * r->key_width,
                     .k = rn_array_reals(u->k) + row * u->ldk + h * r->key_width,
                     .v = rn_array_reals(u->v) + row * u->ldv + h * r->value_width,
                     .power = r->power + h * (r->max_tokens + 1),
                     .tokens = u->tokens,
                     .K = r->key_width,
                     .V = r->value_width};
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
        axpy(w.power[w.tokens - 1 - m] * w.k[m * u->ldk + d], w.v + m * u->ldv, state + d * w.V,
             w.V);
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
      const rn_real *q = w.q + n * u->ldq;
      rn_real *out = o + (row + n) * ldo + h * w.V, sum = 0;
      memset(out, 0, (size_t)w.V * sizeof *out);
      for (int m = first_visible(&w, n); m <= n; m++) {
        const rn_real weight = w.power[n - m] * dot(q, w.k + m * u->ldk, w.K);
        sum += (rn_real)fabs((double)weight);
        axpy(weight, w.v + m * u->ldv, out, w.V);
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
                                       const rn_real *d_o, int64_t ldo, rn_real *own) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    const rn_real *rows = d_o + bh / r->heads * u->tokens * ldo + bh % r->heads * w.V;
    rn_real *adjoint = own + bh * w.K * w.V;
    memset(adjoint, 0, (size_t)w.K * (size_t)w.V * sizeof *adjoint);
    for (int n = 0; n < w.tokens && w.doc_position[n] > n; n++) {
      for (int d = 0; d < w.K; d++) {
        axpy(w.power[n + 1] * w.q[n * u->ldq + d], rows + n * ldo, adjoint + d * w.V, w.V);
      }
    }
  }
}

/* Contributions of the states before and after the segment to the gradients of one head. */
static void cross_backward(const head_view *w, const rn_retention_view *u, const rn_real *d_o,
                           int64_t ldo, const rn_real *before, const rn_real *behind, rn_real *dq,
                           int64_t lddq, rn_real *dk, rn_real *dv, int64_t lddkv) {
  for (int n = 0; n < w->tokens && w->doc_position[n] > n; n++) {
    for (int d = 0; d < w->K; d++) {
      dq[n * lddq + d] += w->power[n + 1] * dot(d_o + n * ldo, before + d * w->V, w->V);
    }
  }
  for (int m = last_boundary(w); m < w->tokens; m++) {
    const rn_real left = w->power[w->tokens - 1 - m];
    for (int d = 0; d < w->K; d++) {
      dk[m * lddkv + d] += left * dot(w->v + m * u->ldv, behind + d * w->V, w->V);
      axpy(left * w->k[m * u->ldk + d], behind + d * w->V, dv + m * lddkv, w->V);
    }
  }
}

void rn_retention_parallel_backward(const rn_retention *r, const rn_retention_view *u,
                                    const rn_real *d_o, int64_t ldo, const rn_real *before,
                                    const rn_real *behind, rn_real *dq, int64_t lddq, rn_real *dk,
                                    rn_real *dv, int64_t lddkv) {
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const head_view w = head_at(r, u, bh);
    const int64_t row = bh / r->heads * u->tokens, h = bh % r->heads;
    const rn_real *rows = d_o + row * ldo + h * w.V;
    rn_real *q = dq + row * lddq + h * w.K, *k = dk + row * lddkv + h * w.K,
            *v = dv + row * lddkv + h * w.V;
    for (int n = 0; n < w.tokens; n++) {
      memset(q + n * lddq, 0, (size_t)w.K * sizeof *q);
      memset(k + n * lddkv, 0, (size_t)w.K * sizeof *k);
      memset(v + n * lddkv, 0, (size_t)w.V * sizeof *v);
      for (int m = first_visible(&w, n); m <= n; m++) {
        const rn_real decay = w.power[n - m];
        const rn_real weight = decay * dot(w.q + n * u->ldq, w.k + m * u->ldk, w.K);
        const rn_real d_weight = decay * dot(rows + n * ldo, w.v + m * u->ldv, w.V);
        axpy(d_weight, w.k + m * u->ldk, q + n * lddq, w.K);
        axpy(d_weight, w.q + n * u->ldq, k + m * lddkv, w.K);
        axpy(weight, rows + n * ldo, v + m * lddkv, w.V);
      }
    }
    cross_backward(&w, u, rows, ldo, before + bh * w.K * w.V, behind + bh * w.K * w.V, q, lddq, k,
                   v, lddkv);
  }
}
