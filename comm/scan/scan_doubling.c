/*
 * Recursive doubling: in round d a rank passes what it knows of the last d pieces to rank + d.
 * Source: Hillis & Steele, Data Parallel Algorithms (1986), made exclusive.
 */
#include <string.h>

#include "comm/scan/scan_internal.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

/* Tags; these messages go up the axis, those between bands from its end to its beginning. */
enum { LOGS, STATES };

/* (log of a piece) `far` in front of x: x += exp(log x) far; a reset keeps out even a NaN. */
static void put_in_front(const rn_scan *scan, const double *log_x, const float *far, float *x) {
  const int64_t m = scan->shape.matrix;
  for (int i = 0; i < scan->n; i++) {
    const float factor = rn_scan_factor(log_x[i]);
    if (factor == 0) continue;
    for (int64_t e = i * m; e < (i + 1) * m; e++) x[e] += factor * far[e];
  }
}

rn_status rn_scan_doubling_create(rn_err *err, rn_scan *scan) {
  const size_t heads = (size_t)scan->shape.heads;
  RN_TRY(err, rn_alloc(err, "decays on the way", 3 * heads, sizeof(double), &scan->log_sum));
  return rn_alloc(err, "states on the way", 3 * heads * (size_t)scan->shape.matrix, sizeof(float),
                  &scan->states);
}

/* What lies in front of the first piece is in the first rank's contribution. */
static rn_status start(rn_err *err, rn_scan *scan, float *before, float *with) {
  const size_t bytes = (size_t)(scan->n * scan->shape.matrix) * sizeof *before;
  memset(before, 0, bytes);
  scan->before = before;
  scan->out = with;
  RN_TRY(err, rn_scan_wraparound_receive(err, scan));
  if (scan->position[scan->direction] == 0) {
    rn_scan_advance_all(scan);
  } else {
    memcpy(with, scan->own, bytes);
  }
  return RN_OK;
}

/* before (with its log) and with (with its log) are what lies in front of this rank, without and
 * with it. */
rn_status rn_scan_doubling(rn_err *err, rn_scan *scan) {
  const int n = scan->n, rank = scan->position[scan->direction];
  const int64_t m = scan->shape.matrix, total = n * m;
  MPI_Comm axis = scan->axis[scan->direction];
  float *before = scan->states, *with = before + total, *far = with + total;
  double *log_with = scan->log_sum, *log_before = log_with + n, *log_far = log_before + n;
  RN_TRY(err, start(err, scan, before, with));
  for (int i = 0; i < n; i++) {
    log_with[i] = scan->log_decay[i];
    log_before[i] = 0;
  }
  for (int d = 1; d < scan->size; d *= 2) {
    const int to = rank + d < scan->size ? rank + d : MPI_PROC_NULL;
    const int from = rank - d >= 0 ? rank - d : MPI_PROC_NULL;
    if (to != MPI_PROC_NULL) {
      scan->bytes_sent += total * (int64_t)sizeof(float) + n * (int64_t)sizeof(double);
    }
    RN_MPI_WAIT(err, MPI_Sendrecv(log_with, n, MPI_DOUBLE, to, LOGS, log_far, n, MPI_DOUBLE, from,
                                  LOGS, axis, MPI_STATUS_IGNORE));
    RN_MPI_WAIT(err, MPI_Sendrecv(with, (int)total, MPI_FLOAT, to, STATES, far, (int)total,
                                  MPI_FLOAT, from, STATES, axis, MPI_STATUS_IGNORE));
    if (from == MPI_PROC_NULL) continue;
    put_in_front(scan, log_before, far, before);
    put_in_front(scan, log_with, far, with);
    for (int i = 0; i < n; i++) {
      log_before[i] += log_far[i];
      log_with[i] += log_far[i];
    }
  }
  return rn_scan_wraparound_send(err, scan);
}
