#include "comm/scan/scan.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_cost.h"
#include "comm/scan/scan_internal.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/span.h"

/* Below this many bytes a message costs its latency, and fewer rounds win. */
enum { SMALL_STATE_BYTES = 32768 };

rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes) {
  return ranks > 4 && state_bytes <= SMALL_STATE_BYTES ? RN_SCAN_DOUBLING : RN_SCAN_PIPELINED;
}

const char *rn_scan_name(rn_scan_algorithm algorithm) {
  static const char *const names[] = {"chain", "doubling", "exscan"};
  return names[algorithm];
}

static rn_status begin(rn_err *err, rn_scan *scan, rn_scan_direction direction, int layer, int n,
                       const double *log_decay, const float *own) {
  scan->direction = direction;
  scan->n = n;
  scan->own = own;
  for (int i = 0; i < n; i++) {
    const bool passes = exp(log_decay[i]) >= scan->shape.epsilon;
    scan->log_decay[i] = passes ? log_decay[i] : -INFINITY;
    scan->factor[i] = rn_scan_factor(scan->log_decay[i]);
  }
  RN_TRY(err, rn_scan_wraparound_begin(err, scan, layer));
  return scan->algorithm == RN_SCAN_PIPELINED ? rn_scan_pipelined_begin(err, scan) : RN_OK;
}

/* Begin and end leave MPI with whom they found it. */
static rn_status chain_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                             int64_t m, const double *log_decay, const float *own) {
  rn_scan *scan = self;
  assert(n <= scan->shape.heads && m == scan->shape.matrix);
  assert(layer >= 0 && layer < scan->shape.layers);
  (void)m;
  const bool lent = rn_comm_thread_acquire(scan->thread);
  rn_status status = begin(err, scan, direction, layer, n, log_decay, own);
  if (lent) rn_comm_thread_release(scan->thread);
  return status;
}

static void chain_poll(void *self) {
  rn_scan *scan = self;
  if (scan->algorithm == RN_SCAN_PIPELINED && scan->thread == NULL) rn_scan_pipelined_poll(scan);
}

/* What the thread counts is its own. */
static bool chain_has_come(void *self) {
  const rn_scan *scan = self;
  if (scan->algorithm != RN_SCAN_PIPELINED) return scan->size == 1;
  return scan->from == NULL || (scan->thread == NULL && scan->pending == 0);
}

static rn_progress_state chain_look(void *self) {
  return rn_scan_pipelined_progress(self);
}

static rn_status finish(rn_err *err, rn_scan *scan) {
  switch (scan->algorithm) {
    case RN_SCAN_PIPELINED:
      return rn_scan_pipelined_end(err, scan);
    case RN_SCAN_DOUBLING:
      return rn_scan_doubling(err, scan);
    case RN_SCAN_EXSCAN:
      return rn_scan_exscan(err, scan);
  }
  return RN_OK;
}

static void take_before(const rn_scan *scan, float *before) {
  const size_t bytes = (size_t)(scan->n * scan->shape.matrix) * sizeof *before;
  if (scan->before == NULL) {
    memset(before, 0, bytes);
  } else {
    memcpy(before, scan->before, bytes);
  }
}

static rn_status chain_end(void *self, rn_err *err, float *before) {
  rn_scan *scan = self;
  const double start_s = rn_clock_s();
  rn_span_begin("wait for a state");
  const bool lent = rn_comm_thread_acquire(scan->thread);
  rn_status status = finish(err, scan);
  rn_span_end();
  scan->wait_s += rn_clock_s() - start_s;
  if (status == RN_OK) take_before(scan, before);
  if (lent) rn_comm_thread_release(scan->thread);
  return status;
}

/* Doubling sends the states of all heads in one message, exscan each head as one MPI element. */
static rn_status check_message(rn_err *err, rn_scan_algorithm algorithm, rn_scan_shape shape) {
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

static rn_status make_axes(rn_err *err, const rn_grid *grid, rn_scan *scan) {
  MPI_Comm sequence = rn_grid_sequence_comm(grid);
  const int rank = rn_grid_sequence(grid);
  scan->size = rn_grid_sequence_size(grid);
  for (int d = RN_SCAN_FORWARD; d <= RN_SCAN_REVERSE; d++) {
    const int key = d == RN_SCAN_FORWARD ? rank : scan->size - 1 - rank;
    RN_MPI(err, MPI_Comm_split(sequence, 0, key, &scan->axis[d]));
    RN_MPI(err, MPI_Comm_set_errhandler(scan->axis[d], MPI_ERRORS_RETURN));
    scan->position[d] = key;
  }
  return RN_OK;
}

/* Blocks leave the bits of a state alone, so that a clock may choose them. */
static rn_status choose_blocks(rn_err *err, rn_scan *scan) {
  const rn_scan_shape *s = &scan->shape;
  const int64_t head_bytes = s->matrix * (int64_t)sizeof(float);
  int64_t block_bytes = RN_SCAN_MIN_BLOCK;
  if (scan->size > 1 && head_bytes > block_bytes) {
    RN_TRY(err, rn_scan_cost_measure(err, scan->axis[RN_SCAN_FORWARD], &scan->cost));
    block_bytes = rn_scan_cost_block(scan->cost, scan->size * s->bands, s->heads * head_bytes);
  }
  scan->blocks = rn_scan_blocks_make(s->heads, s->matrix, block_bytes / (int64_t)sizeof(float));
  return RN_OK;
}

static rn_status make_buffers(rn_err *err, rn_scan *scan) {
  RN_TRY(err,
         rn_alloc(err, "scan factors", (size_t)scan->shape.heads, sizeof(float), &scan->factor));
  RN_TRY(err, rn_alloc(err, "scan factors", (size_t)scan->shape.heads, sizeof(double),
                       &scan->log_decay));
  RN_TRY(err, rn_scan_wraparound_create(err, scan));
  switch (scan->algorithm) {
    case RN_SCAN_PIPELINED:
      return rn_scan_pipelined_create(err, scan);
    case RN_SCAN_DOUBLING:
      return rn_scan_doubling_create(err, scan);
    case RN_SCAN_EXSCAN:
      return rn_scan_exscan_create(err, scan);
  }
  return RN_OK;
}

/* States that one direction of a scan holds, where this rank is at `position`. */
static int states_held(rn_scan_algorithm algorithm, rn_scan_shape shape, int position, int ranks) {
  int ring = 0, links = 0;
  if (shape.bands > 1 && position == 0) ring += shape.layers * RN_SCAN_BUFFERS;
  if (shape.bands > 1 && position == ranks - 1) ring += shape.layers * RN_SCAN_BUFFERS;
  if (position > 0) links += 1;
  if (position < ranks - 1) links += RN_SCAN_BUFFERS;
  return ring + (algorithm == RN_SCAN_PIPELINED ? links : 0);
}

size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks) {
  static const int shared[] = {
      [RN_SCAN_PIPELINED] = 0, [RN_SCAN_DOUBLING] = 3, [RN_SCAN_EXSCAN] = 4};
  const int states = shared[algorithm] + states_held(algorithm, shape, rank, ranks) +
                     states_held(algorithm, shape, ranks - 1 - rank, ranks);
  return (size_t)states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

rn_status rn_scan_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                         rn_scan_shape shape, rn_scan **out) {
  rn_scan *scan;
  *out = NULL;
  assert(shape.heads > 0 && shape.matrix > 0 && shape.layers > 0 && shape.bands > 0);
  RN_TRY(err, check_message(err, algorithm, shape));
  rn_status status = rn_alloc(err, "scan", 1, sizeof *scan, &scan);
  if (status != RN_OK) return rn_grid_agree(err, grid, status);
  *scan = (rn_scan){.port = {.self = scan,
                             .begin = chain_begin,
                             .poll = chain_poll,
                             .end = chain_end,
                             .test = chain_has_come},
                    .algorithm = algorithm,
                    .shape = shape,
                    .axis = {MPI_COMM_NULL, MPI_COMM_NULL},
                    .bands = 1,
                    .compose = MPI_OP_NULL};
  status = rn_grid_agree(err, grid, RN_OK);
  if (status == RN_OK) status = make_axes(err, grid, scan);
  if (status == RN_OK) status = choose_blocks(err, scan);
  if (status == RN_OK) status = make_buffers(err, scan);
  if (status != RN_OK) {
    rn_scan_destroy(&scan);
    return status;
  }
  if (algorithm == RN_SCAN_PIPELINED) scan->port.hops = scan->size - 1;
  *out = scan;
  return RN_OK;
}

void rn_scan_destroy(rn_scan **scan) {
  rn_scan *c = *scan;
  bool ended = true;
  if (c == NULL) return;
  rn_scan_pipelined_destroy(c, &ended);
  rn_scan_wraparound_destroy(c, &ended);
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
  *scan = NULL;
}

void rn_scan_set_segment(rn_scan *scan, int band, int bands) {
  assert(band >= 0 && band < bands && bands <= scan->shape.bands);
  scan->band = band;
  scan->bands = bands;
}

void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final) {
  scan->initial = initial;
  scan->final = final;
}

void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread) {
  scan->thread = thread;
  if (thread != NULL) rn_comm_thread_add(thread, (rn_progress_callback){scan, chain_look});
}

rn_scan_port *rn_scan_port_of(rn_scan *scan) {
  return &scan->port;
}

void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes) {
  const rn_scan_cost *c = &scan->cost;
  const char *name = rn_scan_name(scan->algorithm);
  if (scan->algorithm != RN_SCAN_PIPELINED) {
    snprintf(text, bytes, "%s", name);
  } else if (c->latency_s == 0) {
    snprintf(text, bytes, "%s, a block a head", name);
  } else {
    snprintf(text, bytes, "%s, blocks of %lld KiB (measured: %.1f us a message, %.1f GB/s)", name,
             (long long)scan->blocks.block * (long long)sizeof(float) / 1024, 1e6 * c->latency_s,
             1e-9 / c->byte_s);
  }
}

int64_t rn_scan_bytes_sent(const rn_scan *scan) {
  return scan->bytes_sent;
}

double rn_scan_wait_s(const rn_scan *scan) {
  return scan->wait_s;
}
