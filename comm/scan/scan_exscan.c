/* Scans with MPI_Exscan and a user-defined operation. The code is short and slow; tests use it as
 * the reference. */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_ops.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

/* One MPI element is one head: {double log a; float X[m]}. */
static size_t element_bytes(int64_t m) {
  return sizeof(double) + (size_t)m * sizeof(float);
}

/* Computes right = "left then right" as defined in scan_port.h; MPI passes whole elements. */
static void compose(void *left, void *right, int *count, MPI_Datatype *type) {
  int bytes = 0;
  MPI_Type_size(*type, &bytes);
  const int64_t m = ((int64_t)bytes - (int64_t)sizeof(double)) / (int64_t)sizeof(float);
  for (int i = 0; i < *count; i++) {
    char *a = (char *)left + (size_t)i * (size_t)bytes,
         *b = (char *)right + (size_t)i * (size_t)bytes;
    double log_a, log_b;
    memcpy(&log_a, a, sizeof log_a);
    memcpy(&log_b, b, sizeof log_b);
    const float factor = rn_scan_factor(log_b);
    for (int64_t e = 0; factor != 0 && e < m; e++) {
      float x, y;
      memcpy(&x, a + sizeof(double) + (size_t)e * sizeof x, sizeof x);
      memcpy(&y, b + sizeof(double) + (size_t)e * sizeof y, sizeof y);
      y += factor * x;
      memcpy(b + sizeof(double) + (size_t)e * sizeof y, &y, sizeof y);
    }
    log_b += log_a;
    memcpy(b, &log_b, sizeof log_b);
  }
}

typedef struct exscan {
  float *states;  /* [2, heads, matrix] */
  char *elements; /* [2, heads] of {log a, X} */
  MPI_Op compose;
} exscan;

static bool exscan_fits(rn_scan_shape shape) {
  return shape.matrix <= (INT_MAX - (int64_t)sizeof(double)) / (int64_t)sizeof(float);
}

static size_t exscan_bytes(rn_scan_shape shape, int rank, int ranks) {
  const int states = 4 + rn_scan_wraparound_states(shape, rank, ranks) +
                     rn_scan_wraparound_states(shape, ranks - 1 - rank, ranks);
  return (size_t)states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

static rn_status exscan_create(rn_err *err, rn_scan *scan) {
  const size_t heads = (size_t)scan->shape.heads;
  exscan *x;
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *x, &x));
  scan->impl = x;
  x->compose = MPI_OP_NULL;
  RN_MPI(err, MPI_Op_create(compose, 0, &x->compose));
  RN_TRY(err, rn_alloc(err, "scan buffers", 2 * heads * (size_t)scan->shape.matrix, sizeof(float),
                       &x->states));
  RN_TRY(err, rn_alloc(err, "scan elements", 2 * heads, element_bytes(scan->shape.matrix),
                       &x->elements));
  return rn_scan_wraparound_create(err, scan);
}

static void exscan_destroy(rn_scan *scan, bool *ended) {
  exscan *x = scan->impl;
  (void)ended;
  if (x->compose != MPI_OP_NULL) MPI_Op_free(&x->compose);
  free(x->states);
  free(x->elements);
  free(x);
}

/* Writes this rank's elements to `mine`. On the first rank, they also include the state before
 * the segment. */
static rn_status write_elements(rn_err *err, rn_scan *scan, float *after, char *mine) {
  const int64_t m = scan->shape.matrix;
  const size_t bytes = element_bytes(m), row = (size_t)m * sizeof(float);
  const bool first = rn_scan_position(scan) == 0;
  scan->out = after;
  RN_TRY(err, rn_scan_wraparound_receive(err, scan));
  if (first) rn_scan_advance_all(scan);
  for (int i = 0; i < scan->n; i++) {
    memcpy(mine + (size_t)i * bytes, &scan->log_decay[i], sizeof(double));
    memcpy(mine + (size_t)i * bytes + sizeof(double), (first ? after : scan->own) + i * m, row);
  }
  return RN_OK;
}

static rn_status scan_elements(rn_err *err, rn_scan *scan, char *mine, char *before) {
  const int bytes = (int)element_bytes(scan->shape.matrix);
  MPI_Datatype element;
  RN_MPI(err, MPI_Type_contiguous(bytes, MPI_BYTE, &element));
  RN_MPI(err, MPI_Type_commit(&element));
  rn_status status = RN_MPI_WAIT_STATUS(
      err, MPI_Exscan(mine, before, scan->n, element, ((const exscan *)scan->impl)->compose,
                      scan->axis[scan->direction]));
  MPI_Type_free(&element);
  if (rn_scan_position(scan) < scan->size - 1) {
    scan->bytes_sent += (int64_t)scan->n * bytes;
  }
  return status;
}

static rn_status exscan_end(rn_err *err, rn_scan *scan) {
  const exscan *x = scan->impl;
  const int64_t m = scan->shape.matrix;
  const size_t bytes = element_bytes(m);
  float *before = x->states, *after = before + scan->n * m;
  char *mine = x->elements, *scanned = mine + (size_t)scan->n * bytes;
  RN_TRY(err, write_elements(err, scan, after, mine));
  RN_TRY(err, scan_elements(err, scan, mine, scanned));
  for (int i = 0; rn_scan_position(scan) > 0 && i < scan->n; i++) {
    memcpy(before + i * m, scanned + (size_t)i * bytes + sizeof(double),
           (size_t)m * sizeof *before);
    scan->before = before;
  }
  return rn_scan_wraparound_send(err, scan);
}

/* With several ranks, end() always has to communicate. */
static bool exscan_test(const rn_scan *scan) {
  return scan->size == 1;
}

const rn_scan_ops rn_scan_exscan = {.name = "exscan",
                                    .fits = exscan_fits,
                                    .bytes = exscan_bytes,
                                    .create = exscan_create,
                                    .destroy = exscan_destroy,
                                    .begin = rn_scan_wraparound_begin,
                                    .test = exscan_test,
                                    .end = exscan_end};
