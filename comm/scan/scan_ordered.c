/*
 * Implements the scan of reproducible mode, which is serial over the whole sequence for any number
 * of ranks.
 *
 * A rank receives the state before its piece. The model adds the chunks of the piece to that state
 * one by one and publishes the result, so the order of operations is the same as on one rank. In
 * segments after the first, rank 0 starts with the state of rank S-1 of the previous segment. Sends
 * are buffered: publish() waits only if DEPTH earlier states of the same layer and direction are
 * still in flight.
 */
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_ops.h"
#include "comm/world/backoff.h"
#include "comm/world/last_wait.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

/* Maximum number of states of one layer and direction in flight at a time. */
enum { DEPTH = 2 };

/* A published state whose send may be in flight. */
typedef struct sending {
  MPI_Request request;
  float *state;
} sending;

typedef struct ordered {
  float *state; /* [heads, matrix] */
  MPI_Request receive_request;
  MPI_Request *last_send;   /* send of the last published state; NULL: none yet */
  atomic_bool has_received; /* true if the state had arrived at the last progress() */
  sending *sent;            /* [RN_SCAN_DIRECTIONS, layers, DEPTH] */
  int *next; /* [RN_SCAN_DIRECTIONS, layers]: index in 0..DEPTH-1 of the oldest entry of `sent` */
} ordered;

/* Returns the index of this rank's piece among the size * segments pieces of the sequence, along
 * the direction of the current scan. */
static int64_t piece_index(const rn_scan *scan) {
  return (int64_t)rn_scan_segment_index(scan) * scan->size + rn_scan_position(scan);
}

/* Returns the rank one step after (step = 1) or before (step = -1) this one in the direction of the
 * current scan. */
static int neighbour(const rn_scan *scan, int step) {
  return (rn_scan_position(scan) + step + scan->size) % scan->size;
}

static bool ordered_fits(rn_scan_shape shape) {
  return shape.matrix <= INT_MAX / shape.heads;
}

static size_t ordered_bytes(rn_scan_shape shape, int rank, int ranks) {
  (void)rank, (void)ranks;
  const size_t states = 1 + (size_t)RN_SCAN_DIRECTIONS * (size_t)shape.layers * DEPTH;
  return states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

static rn_status ordered_create(rn_err *err, rn_scan *scan) {
  const size_t count = (size_t)RN_SCAN_DIRECTIONS * (size_t)scan->shape.layers;
  const size_t capacity = (size_t)scan->shape.heads * (size_t)scan->shape.matrix;
  ordered *o;
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *o, &o));
  scan->impl = o;
  o->receive_request = MPI_REQUEST_NULL;
  RN_TRY(err, rn_alloc(err, "received state", capacity, sizeof(float), &o->state));
  RN_TRY(err, rn_alloc(err, "scan buffers", count, sizeof *o->next, &o->next));
  RN_TRY(err, rn_alloc(err, "scan buffers", count * DEPTH, sizeof *o->sent, &o->sent));
  for (size_t i = 0; i < count * DEPTH; i++) o->sent[i].request = MPI_REQUEST_NULL;
  for (size_t i = 0; i < count * DEPTH; i++) {
    RN_TRY(err, rn_alloc(err, "scan buffers", capacity, sizeof(float), &o->sent[i].state));
  }
  return RN_OK;
}

static void ordered_destroy(rn_scan *scan, bool *ended) {
  ordered *o = scan->impl;
  const int count = RN_SCAN_DIRECTIONS * scan->shape.layers * DEPTH;
  *ended = *ended && rn_last_wait(1, &o->receive_request);
  for (int i = 0; o->sent != NULL && i < count; i++) {
    *ended = *ended && rn_last_wait(1, &o->sent[i].request);
  }
  if (!*ended) return;
  for (int i = 0; o->sent != NULL && i < count; i++) free(o->sent[i].state);
  free(o->state);
  free(o->sent);
  free(o->next);
  free(o);
}

static rn_status ordered_begin(rn_err *err, rn_scan *scan) {
  ordered *o = scan->impl;
  const bool first = piece_index(scan) == 0;
  atomic_store(&o->has_received, first);
  scan->before = first ? scan->sequence_initial : o->state;
  if (first) return RN_OK;
  RN_MPI(err, MPI_Irecv(o->state, (int)(scan->n * scan->shape.matrix), MPI_FLOAT,
                        neighbour(scan, -1), 0, scan->axis[scan->direction], &o->receive_request));
  return RN_OK;
}

/* Progresses the receive and the last send: MPI transfers large messages only during MPI calls. */
static rn_progress_state ordered_progress(rn_err *err, rn_scan *scan, bool by_thread) {
  ordered *o = scan->impl;
  int received = 1, sent = 1;
  (void)by_thread;
  (void)RN_MPI_STATUS(err, MPI_Test(&o->receive_request, &received, MPI_STATUS_IGNORE));
  if (received) atomic_store(&o->has_received, true);
  if (o->last_send != NULL && err->status == RN_OK) {
    (void)RN_MPI_STATUS(err, MPI_Test(o->last_send, &sent, MPI_STATUS_IGNORE));
  }
  return received && sent ? RN_PROGRESS_DONE : RN_PROGRESS_WAITS;
}

static bool ordered_test(const rn_scan *scan) {
  const ordered *o = scan->impl;
  return atomic_load(&o->has_received);
}

static rn_status ordered_end(rn_err *err, rn_scan *scan) {
  ordered *o = scan->impl;
  rn_backoff backoff = {0};
  for (int received = 0;; rn_backoff_wait(&backoff)) {
    RN_MPI(err, MPI_Test(&o->receive_request, &received, MPI_STATUS_IGNORE));
    if (received) return RN_OK;
  }
}

static rn_status ordered_publish(rn_err *err, rn_scan *scan, const float *after) {
  ordered *o = scan->impl;
  if (piece_index(scan) == (int64_t)scan->size * scan->segments - 1) return RN_OK;
  const int index = (int)scan->direction * scan->shape.layers + scan->layer;
  sending *s = &o->sent[index * DEPTH + o->next[index]];
  o->next[index] = (o->next[index] + 1) % DEPTH;
  RN_MPI_WAIT(err, MPI_Wait(&s->request, MPI_STATUS_IGNORE));
  memcpy(s->state, after, rn_scan_state_bytes(scan));
  scan->bytes_sent += (int64_t)rn_scan_state_bytes(scan);
  o->last_send = &s->request;
  RN_MPI(err, MPI_Isend(s->state, (int)(scan->n * scan->shape.matrix), MPI_FLOAT,
                        neighbour(scan, 1), 0, scan->axis[scan->direction], &s->request));
  return RN_OK;
}

static void ordered_describe(const rn_scan *scan, char *text, size_t bytes) {
  snprintf(text, bytes, "%s, in fixed order", scan->ops->name);
}

const rn_scan_ops rn_scan_ordered = {.name = "chain",
                                     .fits = ordered_fits,
                                     .bytes = ordered_bytes,
                                     .create = ordered_create,
                                     .destroy = ordered_destroy,
                                     .begin = ordered_begin,
                                     .progress = ordered_progress,
                                     .test = ordered_test,
                                     .end = ordered_end,
                                     .publish = ordered_publish,
                                     .describe = ordered_describe};
