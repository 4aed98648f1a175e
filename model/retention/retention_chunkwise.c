/* Computes the chunkwise form. In each phase, the chunks of all heads are processed in parallel;
 * between the phases, states are propagated from chunk to chunk. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/ops/load_row.h"
#include "model/retention/retention.h"
#include "proto/base/range.h"
#include "proto/base/span.h"

/* A task is one chunk of one head of one sequence: the arguments of the kernels, and the offsets of
 * the chunk's rows. */
typedef struct chunk_task {
  rn_chunk chunk;
  int head;
  int64_t row;     /* index of the chunk's first row: b T + first token */
  int64_t q, k, v; /* offsets of the chunk's first row in the view */
  int64_t o, state;
  rn_real *work; /* work space of this thread */
} chunk_task;

static int64_t state_elements(const rn_retention *r) {
  return (int64_t)r->key_width * r->value_width;
}

static int64_t task_count(const rn_retention *r, const rn_retention_view *u) {
  return (int64_t)rn_retention_chunks(r, u->tokens) * u->sequences * r->heads;
}

/* Returns task `index`. Tasks are in the order of the array of states: by chunk, sequence, head. */
static chunk_task task_at(const rn_retention *r, const rn_retention_view *u, int64_t ldo,
                          int64_t index) {
  const int head = (int)(index % r->heads), b = (int)(index / r->heads % u->sequences);
  const int first = (int)(index / r->heads / u->sequences) * r->chunk, left = u->tokens - first;
  const int64_t row = (int64_t)b * u->tokens + first;
  chunk_task t = {.chunk = {.tokens = left < r->chunk ? left : r->chunk,
                            .key_width = r->key_width,
                            .value_width = r->value_width,
                            .ldq = u->q.ld,
                            .ldk = u->k.ld,
                            .ldv = u->v.ld,
                            .ldo = ldo,
                            .decay = r->decay + (int64_t)(head + 1) * (r->chunk + 1) - 1,
                            .doc_position = u->doc_position + row},
                  .head = head,
                  .row = row,
                  .q = row * u->q.ld + (int64_t)head * r->key_width,
                  .k = row * u->k.ld + (int64_t)head * r->key_width,
                  .v = row * u->v.ld + (int64_t)head * r->value_width,
                  .o = row * ldo + (int64_t)head * r->value_width,
                  .state = index * state_elements(r),
                  .work = r->work + omp_get_thread_num() * r->work_each};
  rn_chunk_cut(&t.chunk);
  return t;
}

/* A slab is a range of elements of a head's state, small enough to stay in cache over all
 * chunks. */
typedef struct slab {
  int64_t head; /* index of the head over all sequences: b H + h */
  int64_t at, length;
} slab;

static int64_t slabs_per_head(const rn_retention *r) {
  return (state_elements(r) + RN_SLAB_ELEMENTS - 1) / RN_SLAB_ELEMENTS;
}

int64_t rn_retention_slabs(const rn_retention *r, int sequences) {
  return (int64_t)sequences * r->heads * slabs_per_head(r);
}

static slab slab_at(const rn_retention *r, int64_t index) {
  const int64_t per_head = slabs_per_head(r), at = index % per_head * RN_SLAB_ELEMENTS;
  return (slab){.head = index / per_head,
                .at = at,
                .length = rn_smaller(state_elements(r) - at, RN_SLAB_ELEMENTS)};
}

/* The decay of a head's state across a chunk, and the offset of the chunk's contribution. */
typedef struct scan_step {
  rn_real decay;
  int64_t state;
} scan_step;

static scan_step step_at(const rn_retention *r, const rn_retention_view *u,
                         rn_scan_direction direction, int64_t head, int step) {
  const int64_t heads = (int64_t)u->sequences * r->heads;
  const int chunk =
      direction == RN_SCAN_FORWARD ? step : rn_retention_chunks(r, u->tokens) - 1 - step;
  const int first = chunk * r->chunk, left = u->tokens - first;
  const int tokens = left < r->chunk ? left : r->chunk;
  const int32_t *doc_position = u->doc_position + head / r->heads * u->tokens + first;
  const rn_real *decay = r->decay + (head % r->heads + 1) * (r->chunk + 1) - 1;
  return (scan_step){rn_retention_has_boundary(doc_position, tokens) ? 0 : decay[-tokens],
                     (chunk * heads + head) * state_elements(r)};
}

/* Computes own, the contribution of the whole segment to the state: the decayed sum of the
 * contributions of its chunks, in the direction of the scan. */
static void sum_contributions(const rn_retention *r, const rn_retention_view *u,
                              rn_scan_direction direction, const rn_real *contributions,
                              rn_real *own) {
  const int chunks = rn_retention_chunks(r, u->tokens);
  const int64_t m = state_elements(r);
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t i = 0; i < rn_retention_slabs(r, u->sequences); i++) {
    const double begin_s = rn_span_task_begin();
    const slab s = slab_at(r, i);
    rn_real *sum = own + s.head * m + s.at;
    memset(sum, 0, (size_t)s.length * sizeof *sum);
    for (int n = 0; n < chunks; n++) {
      const scan_step step = step_at(r, u, direction, s.head, n);
      r->kernels->decay_and_add(step.decay, s.length, contributions + step.state + s.at, sum);
    }
    rn_span_task_end(begin_s);
  }
}

void rn_retention_propagate(const rn_retention *r, const rn_retention_view *u,
                            rn_scan_direction direction, const rn_segment_states *states) {
  const int chunks = rn_retention_chunks(r, u->tokens);
  const int64_t m = state_elements(r);
#pragma omp parallel for schedule(static) num_threads(r->threads)
  for (int64_t i = 0; i < rn_retention_slabs(r, u->sequences); i++) {
    const double begin_s = rn_span_task_begin();
    const slab s = slab_at(r, i);
    const size_t bytes = (size_t)s.length * sizeof(rn_real);
    rn_real *sum = states->state + s.head * m + s.at, *contribution = rn_retention_scratch(r);
    if (states->received != NULL) memcpy(states->received + s.head * m + s.at, sum, bytes);
    for (int n = 0; n < chunks; n++) {
      const scan_step step = step_at(r, u, direction, s.head, n);
      memcpy(contribution, states->contributions + step.state + s.at, bytes);
      rn_row_put(r->kernels, states->before, step.state + s.at, s.length, sum);
      r->kernels->decay_and_add(step.decay, s.length, contribution, sum);
    }
    rn_span_task_end(begin_s);
  }
}

void rn_retention_forward_begin(const rn_retention *r, const rn_retention_view *u,
                                rn_real *contributions, rn_real *own) {
#pragma omp parallel for schedule(dynamic) num_threads(r->threads)
  for (int64_t i = 0; i < task_count(r, u); i++) {
    const double begin_s = rn_span_task_begin();
    const chunk_task t = task_at(r, u, 0, i);
    r->kernels->chunk_own(&t.chunk, rn_array_from(u->k.x, t.k), rn_array_from(u->v.x, t.v), t.work,
                          contributions + t.state);
    rn_span_task_end(begin_s);
  }
  sum_contributions(r, u, RN_SCAN_FORWARD, contributions, own);
}

static void poll_by_first_thread(const rn_scan_port *port) {
  if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
}

static void inner_term(const rn_retention *r, const rn_retention_view *u, const chunk_task *t,
                       const rn_retention_output *out) {
  const bool by_weights = rn_retention_scale_needs_weights(r);
  rn_real *sums = by_weights ? out->alpha + t->row * r->heads + t->head : NULL;
  r->kernels->chunk_inner(&t->chunk, rn_array_from(u->q.x, t->q), rn_array_from(u->k.x, t->k),
                          rn_array_from(u->v.x, t->v), t->work, out->o + t->o, sums, r->heads);
}

/* Returns the largest column sum of |state|, divided by S_(C-1): `b` in torchscale. */
static double cross_weight(const rn_retention *r, int head, rn_array state) {
  double largest = 0;
  for (int e = 0; e < r->value_width; e++) {
    double sum = 0;
    for (int d = 0; d < r->key_width; d++) {
      sum += fabs((double)rn_array_value(state, (int64_t)d * r->value_width + e));
    }
    largest = fmax(largest, sum);
  }
  return largest / rn_retention_row_sum(r, head, r->chunk - 1);
}

/* Computes alpha of torchscale's chunkwise and parallel forms. On entry alpha holds the sum of
 * |weights| of each row. */
static void scale_by_weights(const rn_retention *r, const chunk_task *t, rn_array state,
                             rn_real *alpha) {
  const bool chunkwise = r->scale == RN_SCALE_TS_CHUNKWISE;
  const double min = chunkwise ? fmax(1, cross_weight(r, t->head, state)) : 1;
  const double max = chunkwise ? INFINITY : 5e4;
  for (int i = 0; i < t->chunk.tokens; i++) {
    rn_real *a = alpha + (t->row + i) * r->heads + t->head;
    const double root = sqrt(rn_retention_row_sum(r, t->head, i));
    *a = (rn_real)(1 / (root * fmin(fmax((double)*a / root, min), max)));
  }
}

static void cross_term(const rn_retention *r, const rn_retention_view *u, const chunk_task *t,
                       rn_array states, const rn_retention_output *out) {
  const rn_array before = rn_array_from(states, t->state);
  r->kernels->chunk_cross(&t->chunk, rn_array_from(u->q.x, t->q), before, t->work, out->o + t->o);
  if (rn_retention_scale_needs_weights(r)) scale_by_weights(r, t, before, out->alpha);
}

void rn_retention_forward_chunks(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_retention_terms terms,
                                 rn_array states, const rn_retention_output *out) {
#pragma omp parallel for schedule(dynamic) num_threads(r->threads)
  for (int64_t i = 0; i < task_count(r, u); i++) {
    const double begin_s = rn_span_task_begin();
    const chunk_task t = task_at(r, u, out->ldo, i);
    if (terms & RN_TERM_INNER) inner_term(r, u, &t, out);
    if (terms & RN_TERM_CROSS) cross_term(r, u, &t, states, out);
    rn_span_task_end(begin_s);
    poll_by_first_thread(port);
  }
  if ((terms & RN_TERM_CROSS) && !rn_retention_scale_needs_weights(r)) {
    rn_retention_row_scale(r, u, RN_FORM_CHUNKWISE, out->alpha);
  }
}

void rn_retention_backward_begin(const rn_retention *r, const rn_retention_view *u, rn_matrix d_o,
                                 rn_real *contributions, rn_real *own) {
#pragma omp parallel for schedule(dynamic) num_threads(r->threads)
  for (int64_t i = 0; i < task_count(r, u); i++) {
    const double begin_s = rn_span_task_begin();
    const chunk_task t = task_at(r, u, d_o.ld, i);
    r->kernels->chunk_own_backward(&t.chunk, rn_array_from(u->q.x, t.q), rn_array_from(d_o.x, t.o),
                                   t.work, contributions + t.state);
    rn_span_task_end(begin_s);
  }
  sum_contributions(r, u, RN_SCAN_REVERSE, contributions, own);
}

static rn_chunk_grads grads_at(const rn_retention *r, const chunk_task *t,
                               const rn_retention_grads *g) {
  return (rn_chunk_grads){.dq = g->dq + t->row * g->lddq + (int64_t)t->head * r->key_width,
                          .dk = g->dk + t->row * g->lddkv + (int64_t)t->head * r->key_width,
                          .dv = g->dv + t->row * g->lddkv + (int64_t)t->head * r->value_width,
                          .lddq = g->lddq,
                          .lddkv = g->lddkv};
}

static void inner_term_backward(const rn_retention *r, const rn_retention_view *u,
                                const chunk_task *t, const rn_retention_grads *g) {
  const rn_chunk_grads grads = grads_at(r, t, g);
  r->kernels->chunk_inner_backward(&t->chunk, rn_array_from(u->q.x, t->q),
                                   rn_array_from(u->k.x, t->k), rn_array_from(u->v.x, t->v),
                                   rn_array_from(g->d_o.x, t->o), t->work, &grads);
}

static void cross_term_backward(const rn_retention *r, const rn_retention_view *u,
                                const chunk_task *t, rn_chunk_states states,
                                const rn_retention_grads *g) {
  const rn_chunk_grads grads = grads_at(r, t, g);
  r->kernels->chunk_cross_backward(&t->chunk, rn_array_from(u->k.x, t->k),
                                   rn_array_from(u->v.x, t->v), rn_array_from(g->d_o.x, t->o),
                                   rn_array_from(states.before, t->state),
                                   rn_array_from(states.adjoint_after, t->state), t->work, &grads);
}

void rn_retention_backward_chunks(const rn_retention *r, const rn_retention_view *u,
                                  const rn_scan_port *port, rn_retention_terms terms,
                                  rn_chunk_states states, const rn_retention_grads *grads) {
#pragma omp parallel for schedule(dynamic) num_threads(r->threads)
  for (int64_t i = 0; i < task_count(r, u); i++) {
    const double begin_s = rn_span_task_begin();
    const chunk_task t = task_at(r, u, grads->d_o.ld, i);
    if (terms & RN_TERM_INNER) inner_term_backward(r, u, &t, grads);
    if (terms & RN_TERM_CROSS) cross_term_backward(r, u, &t, states, grads);
    rn_span_task_end(begin_s);
    poll_by_first_thread(port);
  }
}
