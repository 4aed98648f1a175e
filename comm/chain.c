#include "comm/chain.h"

#include <assert.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "comm/scan.h"
#include "proto/arena.h"

/* Below this many bytes a message costs its latency, and fewer rounds win. */
enum { SMALL_STATE_BYTES = 32768 };

rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes) {
  return ranks > 4 && state_bytes <= SMALL_STATE_BYTES ? RN_SCAN_DOUBLING : RN_SCAN_CHAIN;
}

const char *rn_scan_name(rn_scan_algorithm algorithm) {
  static const char *const names[] = {"chain", "doubling", "exscan"};
  return names[algorithm];
}

void rn_scan_advance(const rn_chain *chain, int64_t begin, int64_t end) {
  for (int64_t at = begin; at < end;) {
    const int64_t head = at / chain->m, stop = (head + 1) * chain->m;
    const float factor = chain->factor[head];
    if (factor == 0) { /* a reset: before may still be arriving, and 0 times NaN is NaN */
      const int64_t count = (stop < end ? stop : end) - at;
      memcpy(chain->out + at, chain->own + at, (size_t)count * sizeof *chain->out);
      at += count;
      continue;
    }
    for (; at < stop && at < end; at++) {
      chain->out[at] = factor * chain->before[at] + chain->own[at];
    }
  }
}

static rn_status chain_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                             int64_t m, const double *log_decay, const float *own) {
  rn_chain *chain = self;
  (void)layer;
  assert(n <= chain->max_n && m <= chain->max_m);
  chain->direction = direction;
  chain->n = n;
  chain->m = m;
  chain->log_decay = log_decay;
  chain->own = own;
  for (int i = 0; i < n; i++) {
    const double factor = exp(log_decay[i]);
    chain->factor[i] = factor < FLT_MIN ? 0 : (float)factor;
  }
  return chain->algorithm == RN_SCAN_CHAIN ? rn_scan_chain_begin(err, chain) : RN_OK;
}

static void chain_poll(void *self) {
  rn_chain *chain = self;
  if (chain->algorithm == RN_SCAN_CHAIN) rn_scan_chain_poll(chain);
}

static rn_status chain_end(void *self, rn_err *err, float *before) {
  rn_chain *chain = self;
  const double start = MPI_Wtime();
  switch (chain->algorithm) {
    case RN_SCAN_CHAIN:
      RN_TRY(err, rn_scan_chain_end(err, chain));
      break;
    case RN_SCAN_DOUBLING:
      RN_TRY(err, rn_scan_doubling(err, chain));
      break;
    case RN_SCAN_EXSCAN:
      RN_TRY(err, rn_scan_exscan(err, chain));
      break;
  }
  chain->wait_s += MPI_Wtime() - start;
  memcpy(before, chain->before, (size_t)(chain->n * chain->m) * sizeof *before);
  return RN_OK;
}

/* Doubling sends the states of all heads in one message, exscan each head as one MPI element. */
static rn_status check_message(rn_err *err, rn_scan_algorithm algorithm, int max_n, int64_t max_m) {
  const bool fits = algorithm == RN_SCAN_DOUBLING ? max_m <= INT_MAX / max_n
                    : algorithm == RN_SCAN_EXSCAN
                        ? max_m <= (INT_MAX - (int64_t)sizeof(double)) / (int64_t)sizeof(float)
                        : true;
  if (fits) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "states of %d heads of %lld elements are too large for the scan %s: use chain",
                 max_n, (long long)max_m, rn_scan_name(algorithm));
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

static rn_status make_buffers(rn_err *err, rn_chain *chain) {
  const size_t count = (size_t)chain->max_n * (size_t)chain->max_m, n = (size_t)chain->max_n;
  RN_TRY(err, rn_alloc(err, "scan factors", n, sizeof(float), &chain->factor));
  RN_TRY(err, rn_alloc(err, "state before", count, sizeof(float), &chain->before));
  RN_TRY(err, rn_alloc(err, "state behind", count, sizeof(float), &chain->out));
  if (chain->algorithm == RN_SCAN_DOUBLING) {
    RN_TRY(err, rn_alloc(err, "states on the way", count, sizeof(float), &chain->received));
    RN_TRY(err, rn_alloc(err, "decays on the way", 3 * n, sizeof(double), &chain->log_sum));
  }
  return chain->algorithm == RN_SCAN_EXSCAN ? rn_scan_exscan_create(err, chain) : RN_OK;
}

rn_status rn_chain_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm, int max_n,
                          int64_t max_m, rn_chain **out) {
  rn_chain *chain;
  *out = NULL;
  assert(max_n > 0 && max_m > 0);
  RN_TRY(err, check_message(err, algorithm, max_n, max_m));
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *chain, &chain));
  chain->port = (rn_scan_port){chain, chain_begin, chain_poll, chain_end};
  chain->algorithm = algorithm;
  chain->axis[0] = chain->axis[1] = MPI_COMM_NULL;
  chain->compose = MPI_OP_NULL;
  chain->max_n = max_n;
  chain->max_m = max_m;
  rn_status status = make_axes(err, grid, chain);
  if (status == RN_OK) status = make_buffers(err, chain);
  if (status != RN_OK) {
    rn_chain_destroy(&chain);
    return status;
  }
  *out = chain;
  return RN_OK;
}

void rn_chain_destroy(rn_chain **chain) {
  rn_chain *c = *chain;
  if (c == NULL) return;
  for (int d = 0; d < 2; d++) {
    if (c->axis[d] != MPI_COMM_NULL) MPI_Comm_free(&c->axis[d]);
  }
  if (c->compose != MPI_OP_NULL) MPI_Op_free(&c->compose);
  free(c->factor);
  free(c->before);
  free(c->out);
  free(c->received);
  free(c->log_sum);
  free(c->elements);
  free(c);
  *chain = NULL;
}

rn_scan_port *rn_chain_port(rn_chain *chain) {
  return &chain->port;
}

int64_t rn_chain_bytes_sent(const rn_chain *chain) {
  return chain->bytes_sent;
}

double rn_chain_wait_s(const rn_chain *chain) {
  return chain->wait_s;
}
