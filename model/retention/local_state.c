#include "model/retention/local_state.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

/* PIECE: number of elements of a state that one task updates. With whole heads as tasks, there
 * would be too few tasks. */
enum { DIRECTIONS = 2, PIECE = 4096 };

struct rn_local_state {
  rn_scan_port port;
  int layers, heads; /* number of layers; number of heads of all sequences, B H */
  int64_t matrix;    /* number of elements of a state, K V */
  rn_real *state[DIRECTIONS];
  /* the scan in progress */
  bool in_progress;
  rn_scan_direction direction;
  int layer, n;
  const double *log_decay;
  const rn_real *own;
};

static int64_t layer_elements(const rn_local_state *local_state) {
  return local_state->heads * local_state->matrix;
}

static rn_status local_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                             rn_scan_element element) {
  rn_local_state *local_state = self;
  (void)err;
  assert(!local_state->in_progress && element.m == local_state->matrix);
  assert(element.n <= local_state->heads);
  assert(layer >= 0 && layer < local_state->layers);
  local_state->in_progress = true;
  local_state->direction = direction;
  local_state->layer = layer;
  local_state->n = element.n;
  local_state->log_decay = element.log_decay;
  local_state->own = element.own;
  return RN_OK;
}

static void local_poll(void *self) {
  (void)self;
}

static bool local_test(void *self) {
  (void)self;
  return true;
}

/* Copies the state to `before`, then advances the state. With decay 0, replaces the state instead
 * of multiplying it by 0, so that an Inf or NaN in it does not survive. */
static void advance(double decay, int64_t m, const rn_real *own, rn_real *state, rn_real *before) {
  memcpy(before, state, (size_t)m * sizeof state[0]);
  if (decay == 0) {
    memcpy(state, own, (size_t)m * sizeof state[0]);
    return;
  }
  rn_real factor = (rn_real)decay;
  for (int64_t i = 0; i < m; i++) state[i] = factor * state[i] + own[i];
}

void rn_local_state_advance(rn_scan_element element, rn_real *state, rn_real *before) {
  const int64_t m = element.m;
#pragma omp parallel for collapse(2) schedule(static)
  for (int h = 0; h < element.n; h++) {
    for (int64_t from = 0; from < m; from += PIECE) {
      const int64_t at = h * m + from;
      advance(exp(element.log_decay[h]), rn_smaller(m - from, PIECE), element.own + at, state + at,
              before + at);
    }
  }
}

static rn_status local_end(void *self, rn_err *err, rn_real *before) {
  rn_local_state *local_state = self;
  (void)err;
  assert(local_state->in_progress);
  local_state->in_progress = false;
  rn_real *state = rn_local_state_state(local_state, local_state->direction, local_state->layer);
  const rn_scan_element element = {local_state->n, local_state->matrix, local_state->log_decay,
                                   local_state->own};
  rn_local_state_advance(element, state, before);
  return RN_OK;
}

rn_status rn_local_state_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                                rn_local_state **out) {
  rn_local_state *local_state = NULL;
  rn_status status = rn_alloc(err, "local states", 1, sizeof *local_state, &local_state);
  if (status != RN_OK) goto fail;
  local_state->port = (rn_scan_port){.self = local_state,
                                     .begin = local_begin,
                                     .poll = local_poll,
                                     .end = local_end,
                                     .test = local_test};
  local_state->layers = layers;
  local_state->heads = sequences * spec->heads;
  local_state->matrix = (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
  for (int d = 0; d < DIRECTIONS; d++) {
    status = rn_alloc(err, "local states", (size_t)layers * (size_t)layer_elements(local_state),
                      sizeof(rn_real), &local_state->state[d]);
    if (status != RN_OK) goto fail;
  }
  *out = local_state;
  return RN_OK;
fail:
  rn_local_state_destroy(&local_state);
  return status;
}

void rn_local_state_destroy(rn_local_state **local_state) {
  if (*local_state == NULL) return;
  for (int d = 0; d < DIRECTIONS; d++) free((*local_state)->state[d]);
  free(*local_state);
  *local_state = NULL;
}

void rn_local_state_start(rn_local_state *local_state, rn_scan_direction direction) {
  size_t bytes = (size_t)(local_state->layers * layer_elements(local_state)) * sizeof(rn_real);
  memset(local_state->state[direction], 0, bytes);
}

void rn_local_state_reset(rn_local_state *local_state) {
  rn_local_state_start(local_state, RN_SCAN_FORWARD);
  rn_local_state_start(local_state, RN_SCAN_REVERSE);
}

rn_scan_port *rn_local_state_port(rn_local_state *local_state) {
  return &local_state->port;
}

rn_real *rn_local_state_state(rn_local_state *local_state, rn_scan_direction direction, int layer) {
  assert(layer >= 0 && layer < local_state->layers);
  return local_state->state[direction] + layer * layer_elements(local_state);
}
