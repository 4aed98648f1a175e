#include "model/carry.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/arena.h"

enum { DIRECTIONS = 2 };

struct rn_carry {
  rn_scan_port port;
  int layers, heads; /* heads of all sequences: B H */
  int64_t matrix;    /* K V */
  rn_real *state[DIRECTIONS];
  /* the scan that has begun */
  bool open;
  rn_scan_direction direction;
  int layer, n;
  const double *log_decay;
  const rn_real *own;
};

static int64_t layer_elements(const rn_carry *carry) {
  return carry->heads * carry->matrix;
}

static rn_status carry_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                             int64_t m, const double *log_decay, const rn_real *own) {
  rn_carry *carry = self;
  (void)err, (void)m;
  assert(!carry->open && m == carry->matrix && n <= carry->heads);
  assert(layer >= 0 && layer < carry->layers);
  carry->open = true;
  carry->direction = direction;
  carry->layer = layer;
  carry->n = n;
  carry->log_decay = log_decay;
  carry->own = own;
  return RN_OK;
}

static void carry_poll(void *self) {
  (void)self;
}

static bool carry_has_come(void *self) {
  (void)self;
  return true;
}

/* A faded or reset state is replaced, never multiplied by 0: what was in it cannot come through. */
static void pass_on(double decay, int64_t m, const rn_real *own, rn_real *state, rn_real *before) {
  memcpy(before, state, (size_t)m * sizeof state[0]);
  if (decay == 0) {
    memcpy(state, own, (size_t)m * sizeof state[0]);
    return;
  }
  rn_real factor = (rn_real)decay;
  for (int64_t i = 0; i < m; i++) state[i] = factor * state[i] + own[i];
}

static rn_status carry_end(void *self, rn_err *err, rn_real *before) {
  rn_carry *carry = self;
  (void)err;
  assert(carry->open);
  carry->open = false;
  rn_real *state = rn_carry_state(carry, carry->direction, carry->layer);
  int64_t m = carry->matrix;
  if (carry->port.pass != NULL) {
    memcpy(before, state, (size_t)(carry->n * m) * sizeof state[0]);
    return RN_OK;
  }
#pragma omp parallel for schedule(static)
  for (int h = 0; h < carry->n; h++) {
    pass_on(exp(carry->log_decay[h]), m, carry->own + h * m, state + h * m, before + h * m);
  }
  return RN_OK;
}

static rn_status carry_pass(void *self, rn_err *err, const rn_real *after) {
  rn_carry *carry = self;
  (void)err;
  memcpy(rn_carry_state(carry, carry->direction, carry->layer), after,
         (size_t)(carry->n * carry->matrix) * sizeof after[0]);
  return RN_OK;
}

void rn_carry_fold_by_caller(rn_carry *carry) {
  carry->port.pass = carry_pass;
}

size_t rn_carry_bytes(const rn_spec *spec, int layers, int sequences) {
  const size_t states = (size_t)layers * (size_t)sequences * (size_t)spec->heads;
  const size_t matrix = (size_t)rn_spec_key_width(spec) * (size_t)rn_spec_value_width(spec);
  return DIRECTIONS * states * matrix * sizeof(rn_real);
}

rn_status rn_carry_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                          rn_carry **out) {
  rn_carry *carry = NULL;
  rn_status status = rn_alloc(err, "carried states", 1, sizeof *carry, &carry);
  if (status != RN_OK) goto fail;
  carry->port = (rn_scan_port){.self = carry,
                               .begin = carry_begin,
                               .poll = carry_poll,
                               .end = carry_end,
                               .has_come = carry_has_come};
  carry->layers = layers;
  carry->heads = sequences * spec->heads;
  carry->matrix = (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
  for (int d = 0; d < DIRECTIONS; d++) {
    status = rn_alloc(err, "carried states", (size_t)layers * (size_t)layer_elements(carry),
                      sizeof(rn_real), &carry->state[d]);
    if (status != RN_OK) goto fail;
  }
  *out = carry;
  return RN_OK;
fail:
  rn_carry_destroy(&carry);
  return status;
}

void rn_carry_destroy(rn_carry **carry) {
  if (*carry == NULL) return;
  for (int d = 0; d < DIRECTIONS; d++) free((*carry)->state[d]);
  free(*carry);
  *carry = NULL;
}

void rn_carry_start(rn_carry *carry, rn_scan_direction direction) {
  size_t bytes = (size_t)(carry->layers * layer_elements(carry)) * sizeof(rn_real);
  memset(carry->state[direction], 0, bytes);
}

void rn_carry_reset(rn_carry *carry) {
  rn_carry_start(carry, RN_SCAN_FORWARD);
  rn_carry_start(carry, RN_SCAN_REVERSE);
}

rn_scan_port *rn_carry_port(rn_carry *carry) {
  return &carry->port;
}

rn_real *rn_carry_state(rn_carry *carry, rn_scan_direction direction, int layer) {
  assert(layer >= 0 && layer < carry->layers);
  return carry->state[direction] + layer * layer_elements(carry);
}
