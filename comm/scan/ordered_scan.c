#include "comm/scan/ordered_scan.h"

#include <assert.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/span.h"

/* Units whose states of one layer and direction may be under way at a time. */
enum { DEPTH = 2, DIRECTIONS = 2 };

/* A state that was passed on and may not have arrived yet. */
typedef struct sending {
  MPI_Request request;
  float *state;
} sending;

struct rn_ordered_scan {
  rn_scan_port port;
  rn_comm_thread *thread; /* polls; NULL: the main thread does */
  int rank, size, layers;
  MPI_Comm comm[DIRECTIONS];
  int64_t capacity; /* elements of the largest states */
  int band, bands;  /* of the unit at work */
  rn_scan_direction direction;
  int layer;
  int64_t count;                  /* elements of the states at work */
  float *before;                  /* [capacity] */
  MPI_Request arriving, *leaving; /* of the state that was passed on last; NULL: none yet */
  atomic_bool here;               /* the state before, as far as the last look knows */
  rn_err poll_err;                /* what went wrong in a poll, for the next call to return */
  sending *sent;                  /* [DIRECTIONS, layers, DEPTH] */
  int *next;                      /* [DIRECTIONS, layers]: which of DEPTH is the older */
  const float *initial;           /* [layers, n, m] before the first place; NULL: zero */
  float *final;                   /* [layers, n, m] behind the last one; NULL: nobody asks */
  int64_t bytes_sent;
  double wait_s;
};

/* Places along the direction: the sequence as a whole has size * bands of them. */
static int64_t place_of(const rn_ordered_scan *fold) {
  const int64_t place = (int64_t)fold->band * fold->size + fold->rank;
  return fold->direction == RN_SCAN_FORWARD ? place : (int64_t)fold->size * fold->bands - 1 - place;
}

/* The rank one step ahead (1) or behind (-1) along the direction. */
static int neighbour(const rn_ordered_scan *fold, int step) {
  const int along = fold->direction == RN_SCAN_FORWARD ? step : -step;
  return (fold->rank + along + fold->size) % fold->size;
}

/* What is before the first place. */
static void start(rn_ordered_scan *fold) {
  const size_t bytes = (size_t)fold->count * sizeof *fold->before;
  if (fold->initial != NULL && fold->direction == RN_SCAN_FORWARD) {
    memcpy(fold->before, fold->initial + fold->layer * fold->count, bytes);
  } else {
    memset(fold->before, 0, bytes);
  }
}

/* What went wrong while nobody could be told. */
static rn_status found_before(rn_err *err, const rn_ordered_scan *fold) {
  if (fold->poll_err.status == RN_OK) return RN_OK;
  return rn_fail(err, fold->poll_err.status, "%s", fold->poll_err.text);
}

static rn_status begin(rn_err *err, rn_ordered_scan *fold) {
  RN_TRY(err, found_before(err, fold));
  atomic_store(&fold->here, false);
  if (place_of(fold) == 0) {
    start(fold);
    atomic_store(&fold->here, true);
    return RN_OK;
  }
  RN_MPI(err, MPI_Irecv(fold->before, (int)fold->count, MPI_FLOAT, neighbour(fold, -1), 0,
                        fold->comm[fold->direction], &fold->arriving));
  return RN_OK;
}

/* Each call of the port leaves MPI with whom it found it. */
static rn_status fold_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                            int64_t m, const double *log_decay, const float *own) {
  rn_ordered_scan *fold = self;
  (void)log_decay, (void)own;
  assert(n * m <= fold->capacity && n * m <= INT_MAX && layer < fold->layers);
  const bool lent = rn_comm_thread_acquire(fold->thread);
  fold->direction = direction;
  fold->layer = layer;
  fold->count = n * m;
  rn_status status = begin(err, fold);
  if (lent) rn_comm_thread_release(fold->thread);
  return status;
}

/* Looks after what comes, and after what goes: both may be large, and then move only inside MPI. */
static rn_progress_state fold_look(void *self) {
  rn_ordered_scan *fold = self;
  rn_err *err = &fold->poll_err;
  int come = 1, gone = 1;
  if (err->status != RN_OK) return RN_PROGRESS_DONE;
  (void)RN_MPI_STATUS(err, MPI_Test(&fold->arriving, &come, MPI_STATUS_IGNORE));
  if (come) atomic_store(&fold->here, true);
  if (fold->leaving != NULL && err->status == RN_OK) {
    (void)RN_MPI_STATUS(err, MPI_Test(fold->leaving, &gone, MPI_STATUS_IGNORE));
  }
  return come && gone ? RN_PROGRESS_DONE : RN_PROGRESS_WAITS;
}

static void fold_poll(void *self) {
  const rn_ordered_scan *fold = self;
  if (fold->thread == NULL) fold_look(self);
}

static bool fold_has_come(void *self) {
  const rn_ordered_scan *fold = self;
  return atomic_load(&fold->here);
}

static rn_status wait_for_state(rn_err *err, rn_ordered_scan *fold) {
  RN_TRY(err, found_before(err, fold));
  rn_backoff backoff = {0};
  for (int come = 0;; rn_backoff_wait(&backoff)) {
    RN_MPI(err, MPI_Test(&fold->arriving, &come, MPI_STATUS_IGNORE));
    if (come) return RN_OK;
  }
}

static rn_status fold_end(void *self, rn_err *err, float *before) {
  rn_ordered_scan *fold = self;
  const double start_s = rn_clock_s();
  rn_span_begin("wait for a state");
  const bool lent = rn_comm_thread_acquire(fold->thread);
  rn_status status = wait_for_state(err, fold);
  rn_span_end();
  fold->wait_s += rn_clock_s() - start_s;
  if (status == RN_OK) memcpy(before, fold->before, (size_t)fold->count * sizeof *before);
  if (lent) rn_comm_thread_release(fold->thread);
  return status;
}

static rn_status send_on(rn_err *err, rn_ordered_scan *fold, const float *after) {
  const int line = fold->direction * fold->layers + fold->layer;
  sending *s = &fold->sent[line * DEPTH + fold->next[line]];
  fold->next[line] = (fold->next[line] + 1) % DEPTH;
  RN_TRY(err, found_before(err, fold));
  RN_MPI_WAIT(err, MPI_Wait(&s->request, MPI_STATUS_IGNORE));
  memcpy(s->state, after, (size_t)fold->count * sizeof *after);
  fold->bytes_sent += fold->count * (int64_t)sizeof *after;
  fold->leaving = &s->request;
  RN_MPI(err, MPI_Isend(s->state, (int)fold->count, MPI_FLOAT, neighbour(fold, 1), 0,
                        fold->comm[fold->direction], &s->request));
  return RN_OK;
}

static rn_status fold_pass(void *self, rn_err *err, const float *after) {
  rn_ordered_scan *fold = self;
  if (place_of(fold) == (int64_t)fold->size * fold->bands - 1) {
    if (fold->final != NULL && fold->direction == RN_SCAN_FORWARD) {
      memcpy(fold->final + fold->layer * fold->count, after, (size_t)fold->count * sizeof *after);
    }
    return RN_OK;
  }
  const bool lent = rn_comm_thread_acquire(fold->thread);
  rn_status status = send_on(err, fold, after);
  if (lent) rn_comm_thread_release(fold->thread);
  return status;
}

static rn_status make_buffers(rn_err *err, rn_ordered_scan *fold) {
  const size_t lines = (size_t)DIRECTIONS * (size_t)fold->layers;
  RN_TRY(err, rn_alloc(err, "state before", (size_t)fold->capacity, sizeof(float), &fold->before));
  RN_TRY(err, rn_alloc(err, "states under way", lines, sizeof *fold->next, &fold->next));
  RN_TRY(err, rn_alloc(err, "states under way", lines * DEPTH, sizeof *fold->sent, &fold->sent));
  for (size_t i = 0; i < lines * DEPTH; i++) fold->sent[i].request = MPI_REQUEST_NULL;
  for (size_t i = 0; i < lines * DEPTH; i++) {
    RN_TRY(err, rn_alloc(err, "states under way", (size_t)fold->capacity, sizeof(float),
                         &fold->sent[i].state));
  }
  return RN_OK;
}

size_t rn_ordered_scan_bytes(int layers, int max_n, int64_t max_m) {
  const size_t states = 1 + (size_t)DIRECTIONS * (size_t)layers * DEPTH;
  return states * (size_t)max_n * (size_t)max_m * sizeof(float);
}

rn_status rn_ordered_scan_create(rn_err *err, const rn_grid *grid, int layers, int max_n,
                                 int64_t max_m, rn_ordered_scan **out) {
  rn_ordered_scan *fold;
  *out = NULL;
  if (max_m > INT_MAX / max_n) {
    return rn_fail(err, RN_ERR_USAGE,
                   "states of %d heads of %lld elements are too large for run.reproducible: use a "
                   "smaller parallel.microbatch",
                   max_n, (long long)max_m);
  }
  rn_status status = rn_alloc(err, "scan", 1, sizeof *fold, &fold);
  if (status != RN_OK) return rn_grid_agree(err, grid, status);
  *fold = (rn_ordered_scan){.port = {.self = fold,
                                     .begin = fold_begin,
                                     .poll = fold_poll,
                                     .end = fold_end,
                                     .pass = fold_pass,
                                     .test = fold_has_come},
                            .rank = rn_grid_sequence(grid),
                            .size = rn_grid_sequence_size(grid),
                            .layers = layers,
                            .comm = {MPI_COMM_NULL, MPI_COMM_NULL},
                            .capacity = max_n * max_m,
                            .arriving = MPI_REQUEST_NULL};
  status = rn_grid_agree(err, grid, make_buffers(err, fold));
  for (int d = 0; status == RN_OK && d < DIRECTIONS; d++) {
    status = RN_MPI_STATUS(err, MPI_Comm_dup(rn_grid_sequence_comm(grid), &fold->comm[d]));
  }
  if (status != RN_OK) {
    rn_ordered_scan_destroy(&fold);
    return status;
  }
  *out = fold;
  return RN_OK;
}

void rn_ordered_scan_destroy(rn_ordered_scan **out) {
  rn_ordered_scan *fold = *out;
  if (fold == NULL) return;
  for (int i = 0; fold->sent != NULL && i < DIRECTIONS * fold->layers * DEPTH; i++) {
    MPI_Wait(&fold->sent[i].request, MPI_STATUS_IGNORE);
    free(fold->sent[i].state);
  }
  for (int d = 0; d < DIRECTIONS; d++) {
    if (fold->comm[d] != MPI_COMM_NULL) MPI_Comm_free(&fold->comm[d]);
  }
  free(fold->before);
  free(fold->sent);
  free(fold->next);
  free(fold);
  *out = NULL;
}

void rn_ordered_scan_use_thread(rn_ordered_scan *fold, rn_comm_thread *thread) {
  fold->thread = thread;
  if (thread != NULL) rn_comm_thread_add(thread, (rn_progress_callback){fold, fold_look});
}

rn_scan_port *rn_ordered_scan_port_of(rn_ordered_scan *fold, int band, int bands) {
  fold->band = band;
  fold->bands = bands;
  return &fold->port;
}

void rn_ordered_scan_set_boundary(rn_ordered_scan *fold, const float *initial, float *final) {
  fold->initial = initial;
  fold->final = final;
}

int64_t rn_ordered_scan_bytes_sent(const rn_ordered_scan *fold) {
  return fold->bytes_sent;
}

double rn_ordered_scan_wait_s(const rn_ordered_scan *fold) {
  return fold->wait_s;
}
