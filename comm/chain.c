#include "comm/chain.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "comm/scan.h"
#include "comm/scan_cost.h"
#include "comm/scan_ring.h"
#include "proto/arena.h"
#include "proto/clock.h"
#include "proto/span.h"

/* Below this many bytes a message costs its latency, and fewer rounds win. */
enum { SMALL_STATE_BYTES = 32768 };

rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes) {
  return ranks > 4 && state_bytes <= SMALL_STATE_BYTES ? RN_SCAN_DOUBLING : RN_SCAN_CHAIN;
}

const char *rn_scan_name(rn_scan_algorithm algorithm) {
  static const char *const names[] = {"chain", "doubling", "exscan"};
  return names[algorithm];
}

static rn_status begin(rn_err *err, rn_chain *chain, rn_scan_direction direction, int layer, int n,
                       const double *log_decay, const float *own) {
  chain->direction = direction;
  chain->n = n;
  chain->own = own;
  for (int i = 0; i < n; i++) {
    const bool passes = exp(log_decay[i]) >= chain->shape.epsilon;
    chain->log_decay[i] = passes ? log_decay[i] : -INFINITY;
    chain->factor[i] = rn_scan_factor(chain->log_decay[i]);
  }
  RN_TRY(err, rn_scan_ring_begin(err, chain, layer));
  return chain->algorithm == RN_SCAN_CHAIN ? rn_scan_chain_begin(err, chain) : RN_OK;
}

/* Begin and end leave MPI with whom they found it. */
static rn_status chain_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                             int64_t m, const double *log_decay, const float *own) {
  rn_chain *chain = self;
  assert(n <= chain->shape.heads && m == chain->shape.matrix);
  assert(layer >= 0 && layer < chain->shape.layers);
  (void)m;
  const bool lent = rn_comm_thread_take_back(chain->thread);
  rn_status status = begin(err, chain, direction, layer, n, log_decay, own);
  if (lent) rn_comm_thread_lend(chain->thread);
  return status;
}

static void chain_poll(void *self) {
  rn_chain *chain = self;
  if (chain->algorithm == RN_SCAN_CHAIN && chain->thread == NULL) rn_scan_chain_poll(chain);
}

/* What the thread counts is its own. */
static bool chain_has_come(void *self) {
  const rn_chain *chain = self;
  if (chain->algorithm != RN_SCAN_CHAIN) return chain->size == 1;
  return chain->from == NULL || (chain->thread == NULL && chain->pending == 0);
}

static rn_errand_state chain_look(void *self) {
  return rn_scan_chain_look(self);
}

static rn_status finish(rn_err *err, rn_chain *chain) {
  switch (chain->algorithm) {
    case RN_SCAN_CHAIN:
      return rn_scan_chain_end(err, chain);
    case RN_SCAN_DOUBLING:
      return rn_scan_doubling(err, chain);
    case RN_SCAN_EXSCAN:
      return rn_scan_exscan(err, chain);
  }
  return RN_OK;
}

static void take_before(const rn_chain *chain, float *before) {
  const size_t bytes = (size_t)(chain->n * chain->shape.matrix) * sizeof *before;
  if (chain->before == NULL) {
    memset(before, 0, bytes);
  } else {
    memcpy(before, chain->before, bytes);
  }
}

static rn_status chain_end(void *self, rn_err *err, float *before) {
  rn_chain *chain = self;
  const double start_s = rn_clock_s();
  rn_span_begin("wait for a state");
  const bool lent = rn_comm_thread_take_back(chain->thread);
  rn_status status = finish(err, chain);
  rn_span_end();
  chain->wait_s += rn_clock_s() - start_s;
  if (status == RN_OK) take_before(chain, before);
  if (lent) rn_comm_thread_lend(chain->thread);
  return status;
}

/* Doubling sends the states of all heads in one message, exscan each head as one MPI element. */
static rn_status check_message(rn_err *err, rn_scan_algorithm algorithm, rn_chain_shape shape) {
  const bool fits =
      algorithm == RN_SCAN_DOUBLING ? shape.matrix <= INT_MAX / shape.heads
      : algorithm == RN_SCAN_EXSCAN
          ? shape.matrix <= (INT_MAX - (int64_t)sizeof(double)) / (int64_t)sizeof(float)
          : true;
  if (fits) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "states of %d heads of %lld elements are too large for the scan %s: use chain",
                 shape.heads, (long long)shape.matrix, rn_scan_name(algorithm));
}

static rn_status make_axes(rn_err *err, const rn_grid *grid, rn_chain *chain) {
  MPI_Comm sequence = rn_grid_sequence_comm(grid);
  const int rank = rn_grid_sequence(grid);
  chain->size = rn_grid_sequence_size(grid);
  for (int d = RN_SCAN_FORWARD; d <= RN_SCAN_REVERSE; d++) {
    const int key = d == RN_SCAN_FORWARD ? rank : chain->size - 1 - rank;
    RN_MPI(err, MPI_Comm_split(sequence, 0, key, &chain->axis[d]));
    RN_MPI(err, MPI_Comm_set_errhandler(chain->axis[d], MPI_ERRORS_RETURN));
    chain->position[d] = key;
  }
  return RN_OK;
}

/* Blocks leave the bits of a state alone, so that a clock may choose them. */
static rn_status choose_blocks(rn_err *err, rn_chain *chain) {
  const rn_chain_shape *s = &chain->shape;
  const int64_t head_bytes = s->matrix * (int64_t)sizeof(float);
  int64_t block_bytes = RN_SCAN_LEAST_BLOCK;
  if (chain->size > 1 && head_bytes > block_bytes) {
    RN_TRY(err, rn_scan_cost_measure(err, chain->axis[RN_SCAN_FORWARD], &chain->cost));
    block_bytes = rn_scan_cost_block(chain->cost, chain->size * s->bands, s->heads * head_bytes);
  }
  chain->blocks = rn_scan_blocks_make(s->heads, s->matrix, block_bytes / (int64_t)sizeof(float));
  return RN_OK;
}

static rn_status make_buffers(rn_err *err, rn_chain *chain) {
  RN_TRY(err,
         rn_alloc(err, "scan factors", (size_t)chain->shape.heads, sizeof(float), &chain->factor));
  RN_TRY(err, rn_alloc(err, "scan factors", (size_t)chain->shape.heads, sizeof(double),
                       &chain->log_decay));
  RN_TRY(err, rn_scan_ring_create(err, chain));
  switch (chain->algorithm) {
    case RN_SCAN_CHAIN:
      return rn_scan_chain_create(err, chain);
    case RN_SCAN_DOUBLING:
      return rn_scan_doubling_create(err, chain);
    case RN_SCAN_EXSCAN:
      return rn_scan_exscan_create(err, chain);
  }
  return RN_OK;
}

/* States that one direction of a scan holds, where this rank is at `position`. */
static int states_held(rn_scan_algorithm algorithm, rn_chain_shape shape, int position, int ranks) {
  int ring = 0, links = 0;
  if (shape.bands > 1 && position == 0) ring += shape.layers * RN_SCAN_TURNS;
  if (shape.bands > 1 && position == ranks - 1) ring += shape.layers * RN_SCAN_TURNS;
  if (position > 0) links += 1;
  if (position < ranks - 1) links += RN_SCAN_TURNS;
  return ring + (algorithm == RN_SCAN_CHAIN ? links : 0);
}

size_t rn_chain_bytes(rn_scan_algorithm algorithm, rn_chain_shape shape, int rank, int ranks) {
  static const int shared[] = {[RN_SCAN_CHAIN] = 0, [RN_SCAN_DOUBLING] = 3, [RN_SCAN_EXSCAN] = 4};
  const int states = shared[algorithm] + states_held(algorithm, shape, rank, ranks) +
                     states_held(algorithm, shape, ranks - 1 - rank, ranks);
  return (size_t)states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

rn_status rn_chain_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                          rn_chain_shape shape, rn_chain **out) {
  rn_chain *chain;
  *out = NULL;
  assert(shape.heads > 0 && shape.matrix > 0 && shape.layers > 0 && shape.bands > 0);
  RN_TRY(err, check_message(err, algorithm, shape));
  rn_status status = rn_alloc(err, "scan", 1, sizeof *chain, &chain);
  if (status != RN_OK) return rn_grid_agree(err, grid, status);
  *chain = (rn_chain){.port = {.self = chain,
                               .begin = chain_begin,
                               .poll = chain_poll,
                               .end = chain_end,
                               .has_come = chain_has_come},
                      .algorithm = algorithm,
                      .shape = shape,
                      .axis = {MPI_COMM_NULL, MPI_COMM_NULL},
                      .bands = 1,
                      .compose = MPI_OP_NULL};
  status = rn_grid_agree(err, grid, RN_OK);
  if (status == RN_OK) status = make_axes(err, grid, chain);
  if (status == RN_OK) status = choose_blocks(err, chain);
  if (status == RN_OK) status = make_buffers(err, chain);
  if (status != RN_OK) {
    rn_chain_destroy(&chain);
    return status;
  }
  if (algorithm == RN_SCAN_CHAIN) chain->port.hops = chain->size - 1;
  *out = chain;
  return RN_OK;
}

void rn_chain_destroy(rn_chain **chain) {
  rn_chain *c = *chain;
  bool ended = true;
  if (c == NULL) return;
  rn_scan_chain_destroy(c, &ended);
  rn_scan_ring_destroy(c, &ended);
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    if (c->axis[d] != MPI_COMM_NULL) MPI_Comm_free(&c->axis[d]);
  }
  if (c->compose != MPI_OP_NULL) MPI_Op_free(&c->compose);
  free(c->factor);
  free(c->log_decay);
  free(c->states);
  free(c->log_sum);
  free(c->elements);
  free(c);
  *chain = NULL;
}

void rn_chain_unit(rn_chain *chain, int band, int bands) {
  assert(band >= 0 && band < bands && bands <= chain->shape.bands);
  chain->band = band;
  chain->bands = bands;
}

void rn_chain_carry(rn_chain *chain, const float *initial, float *final) {
  chain->initial = initial;
  chain->final = final;
}

void rn_chain_use_thread(rn_chain *chain, rn_comm_thread *thread) {
  chain->thread = thread;
  if (thread != NULL) rn_comm_thread_add(thread, (rn_errand){chain, chain_look});
}

rn_scan_port *rn_chain_port(rn_chain *chain) {
  return &chain->port;
}

void rn_chain_describe(const rn_chain *chain, char *text, size_t bytes) {
  const rn_scan_cost *c = &chain->cost;
  const char *name = rn_scan_name(chain->algorithm);
  if (chain->algorithm != RN_SCAN_CHAIN) {
    snprintf(text, bytes, "%s", name);
  } else if (c->latency_s == 0) {
    snprintf(text, bytes, "%s, a block a head", name);
  } else {
    snprintf(text, bytes, "%s, blocks of %lld KiB (measured: %.1f us a message, %.1f GB/s)", name,
             (long long)chain->blocks.block * (long long)sizeof(float) / 1024, 1e6 * c->latency_s,
             1e-9 / c->byte_s);
  }
}

int64_t rn_chain_bytes_sent(const rn_chain *chain) {
  return chain->bytes_sent;
}

double rn_chain_wait_s(const rn_chain *chain) {
  return chain->wait_s;
}
