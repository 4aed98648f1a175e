/*
 * Scans by recursive doubling. For d = 1, 2, 4, ..., each rank sends to the rank d positions later
 * the combined state of the last d pieces up to and including its own piece.
 *
 * Source: Hillis & Steele, Data Parallel Algorithms (1986), changed to an exclusive scan.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_ops.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

/* Message tags. Wrap-around messages may have the same tags but cannot match the messages of the
 * scan: wrap-around messages go from the last rank to the first, those of the scan only to later
 * ranks. */
enum { LOG_DECAYS, STATES };

/* Workspace for three states: the state of all received pieces before this rank's piece, the state
 * of these pieces followed by this rank's piece, and the state in the last received message. */
typedef struct doubling {
  float *states;   /* [3, heads, matrix] */
  double *log_sum; /* [3, heads] */
} doubling;

/* One message holds the states of all heads. */
static bool doubling_fits(rn_scan_shape shape) {
  return shape.matrix <= INT_MAX / shape.heads;
}

static size_t doubling_bytes(rn_scan_shape shape, int rank, int ranks) {
  const int states = 3 + rn_scan_wraparound_states(shape, rank, ranks) +
                     rn_scan_wraparound_states(shape, ranks - 1 - rank, ranks);
  return (size_t)states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

static rn_status doubling_create(rn_err *err, rn_scan *scan) {
  const size_t heads = (size_t)scan->shape.heads;
  doubling *d;
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *d, &d));
  scan->impl = d;
  RN_TRY(err, rn_alloc(err, "scan decay buffers", 3 * heads, sizeof(double), &d->log_sum));
  RN_TRY(err, rn_alloc(err, "scan buffers", 3 * heads * (size_t)scan->shape.matrix, sizeof(float),
                       &d->states));
  return rn_scan_wraparound_create(err, scan);
}

static void doubling_destroy(rn_scan *scan, bool *ended) {
  doubling *d = scan->impl;
  (void)ended;
  free(d->log_sum);
  free(d->states);
  free(d);
}

/* Computes x += exp(log_x) * received, where `received` is the state of the pieces before those of
 * `x`. If the factor is 0, a NaN in `received` has no effect. */
static void combine(const rn_scan *scan, const double *log_x, const float *received, float *x) {
  const int64_t m = scan->shape.matrix;
  for (int i = 0; i < scan->n; i++) {
    const float factor = rn_scan_factor(log_x[i]);
    if (factor == 0) continue;
    for (int64_t e = i * m; e < (i + 1) * m; e++) x[e] += factor * received[e];
  }
}

/* Initialises `before` to 0 and `after` to the state of this rank's piece. On the first rank,
 * scan->before becomes the state before the segment, and `after` includes that state. */
static rn_status begin_states(rn_err *err, rn_scan *scan, float *before, float *after) {
  memset(before, 0, rn_scan_state_bytes(scan));
  scan->before = before;
  scan->out = after;
  RN_TRY(err, rn_scan_wraparound_receive(err, scan));
  if (rn_scan_position(scan) == 0) {
    rn_scan_advance_all(scan);
  } else {
    memcpy(after, scan->own, rn_scan_state_bytes(scan));
  }
  return RN_OK;
}

/* `before` and `after` are the states before and after this rank's piece, computed from the pieces
 * received so far; log_before and log_after are the sums of the log decays of those pieces. */
static rn_status doubling_end(rn_err *err, rn_scan *scan) {
  const doubling *impl = scan->impl;
  const int n = scan->n, rank = rn_scan_position(scan);
  const int64_t total = n * scan->shape.matrix;
  MPI_Comm axis = scan->axis[scan->direction];
  float *before = impl->states, *after = before + total, *received = after + total;
  double *log_after = impl->log_sum, *log_before = log_after + n, *log_received = log_before + n;
  RN_TRY(err, begin_states(err, scan, before, after));
  for (int i = 0; i < n; i++) {
    log_after[i] = scan->log_decay[i];
    log_before[i] = 0;
  }
  for (int d = 1; d < scan->size; d *= 2) {
    const int to = rank + d < scan->size ? rank + d : MPI_PROC_NULL;
    const int from = rank - d >= 0 ? rank - d : MPI_PROC_NULL;
    if (to != MPI_PROC_NULL) {
      scan->bytes_sent += total * (int64_t)sizeof(float) + n * (int64_t)sizeof(double);
    }
    RN_MPI_WAIT(err, MPI_Sendrecv(log_after, n, MPI_DOUBLE, to, LOG_DECAYS, log_received, n,
                                  MPI_DOUBLE, from, LOG_DECAYS, axis, MPI_STATUS_IGNORE));
    RN_MPI_WAIT(err, MPI_Sendrecv(after, (int)total, MPI_FLOAT, to, STATES, received, (int)total,
                                  MPI_FLOAT, from, STATES, axis, MPI_STATUS_IGNORE));
    if (from == MPI_PROC_NULL) continue;
    combine(scan, log_before, received, before);
    combine(scan, log_after, received, after);
    for (int i = 0; i < n; i++) {
      log_before[i] += log_received[i];
      log_after[i] += log_received[i];
    }
  }
  return rn_scan_wraparound_send(err, scan);
}

/* With several ranks, end() always has to communicate. */
static bool doubling_test(const rn_scan *scan) {
  return scan->size == 1;
}

const rn_scan_ops rn_scan_doubling = {.name = "doubling",
                                      .fits = doubling_fits,
                                      .bytes = doubling_bytes,
                                      .create = doubling_create,
                                      .destroy = doubling_destroy,
                                      .begin = rn_scan_wraparound_begin,
                                      .test = doubling_test,
                                      .end = doubling_end};
