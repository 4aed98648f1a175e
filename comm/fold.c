#include "comm/fold.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"
#include "proto/span.h"

/* Units whose states of one layer and direction may be under way at a time. */
enum { DEPTH = 2, DIRECTIONS = 2 };

/* A state that was passed on and may not have arrived yet. */
typedef struct sending {
  MPI_Request request;
  float *state;
} sending;

struct rn_fold {
  rn_scan_port port;
  int rank, size, layers;
  MPI_Comm comm[DIRECTIONS];
  int64_t capacity; /* elements of the largest states */
  int band, bands;  /* of the unit at work */
  rn_scan_direction direction;
  int layer;
  int64_t count; /* elements of the states at work */
  float *before; /* [capacity] */
  MPI_Request arriving;
  sending *sent;        /* [DIRECTIONS, layers, DEPTH] */
  int *next;            /* [DIRECTIONS, layers]: which of DEPTH is the older */
  const float *initial; /* [layers, n, m] before the first place; NULL: zero */
  float *final;         /* [layers, n, m] behind the last one; NULL: nobody asks */
  int64_t bytes_sent;
  double wait_s;
};

/* Places along the direction: the sequence as a whole has size * bands of them. */
static int64_t place_of(const rn_fold *fold) {
  const int64_t place = (int64_t)fold->band * fold->size + fold->rank;
  return fold->direction == RN_SCAN_FORWARD ? place : (int64_t)fold->size * fold->bands - 1 - place;
}

/* The rank one step ahead (1) or behind (-1) along the direction. */
static int neighbour(const rn_fold *fold, int step) {
  const int along = fold->direction == RN_SCAN_FORWARD ? step : -step;
  return (fold->rank + along + fold->size) % fold->size;
}

/* What is before the first place. */
static void start(rn_fold *fold) {
  const size_t bytes = (size_t)fold->count * sizeof *fold->before;
  if (fold->initial != NULL && fold->direction == RN_SCAN_FORWARD) {
    memcpy(fold->before, fold->initial + fold->layer * fold->count, bytes);
  } else {
    memset(fold->before, 0, bytes);
  }
}

static rn_status fold_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                            int64_t m, const double *log_decay, const float *own) {
  rn_fold *fold = self;
  (void)log_decay, (void)own;
  assert(n * m <= fold->capacity && n * m <= INT_MAX && layer < fold->layers);
  fold->direction = direction;
  fold->layer = layer;
  fold->count = n * m;
  if (place_of(fold) == 0) {
    start(fold);
    return RN_OK;
  }
  RN_MPI(err, MPI_Irecv(fold->before, (int)fold->count, MPI_FLOAT, neighbour(fold, -1), 0,
                        fold->comm[direction], &fold->arriving));
  return RN_OK;
}

static void fold_poll(void *self) {
  (void)self;
}

static rn_status fold_end(void *self, rn_err *err, float *before) {
  rn_fold *fold = self;
  const double start = MPI_Wtime();
  rn_span_begin("wait for a state");
  RN_MPI(err, MPI_Wait(&fold->arriving, MPI_STATUS_IGNORE));
  rn_span_end();
  fold->wait_s += MPI_Wtime() - start;
  memcpy(before, fold->before, (size_t)fold->count * sizeof *before);
  return RN_OK;
}

static rn_status fold_pass(void *self, rn_err *err, const float *after) {
  rn_fold *fold = self;
  if (place_of(fold) == (int64_t)fold->size * fold->bands - 1) {
    if (fold->final != NULL && fold->direction == RN_SCAN_FORWARD) {
      memcpy(fold->final + fold->layer * fold->count, after, (size_t)fold->count * sizeof *after);
    }
    return RN_OK;
  }
  const int line = fold->direction * fold->layers + fold->layer;
  sending *s = &fold->sent[line * DEPTH + fold->next[line]];
  fold->next[line] = (fold->next[line] + 1) % DEPTH;
  RN_MPI(err, MPI_Wait(&s->request, MPI_STATUS_IGNORE));
  memcpy(s->state, after, (size_t)fold->count * sizeof *after);
  fold->bytes_sent += fold->count * (int64_t)sizeof *after;
  RN_MPI(err, MPI_Isend(s->state, (int)fold->count, MPI_FLOAT, neighbour(fold, 1), 0,
                        fold->comm[fold->direction], &s->request));
  return RN_OK;
}

static rn_status make_buffers(rn_err *err, rn_fold *fold) {
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

size_t rn_fold_bytes(int layers, int max_n, int64_t max_m) {
  const size_t states = 1 + (size_t)DIRECTIONS * (size_t)layers * DEPTH;
  return states * (size_t)max_n * (size_t)max_m * sizeof(float);
}

rn_status rn_fold_create(rn_err *err, const rn_grid *grid, int layers, int max_n, int64_t max_m,
                         rn_fold **out) {
  rn_fold *fold;
  *out = NULL;
  if (max_m > INT_MAX / max_n) {
    return rn_fail(err, RN_ERR_USAGE,
                   "states of %d heads of %lld elements are too large for run.reproducible: use a "
                   "smaller parallel.microbatch",
                   max_n, (long long)max_m);
  }
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *fold, &fold));
  *fold = (rn_fold){.port = {fold, fold_begin, fold_poll, fold_end, fold_pass},
                    .rank = rn_grid_sequence(grid),
                    .size = rn_grid_sequence_size(grid),
                    .layers = layers,
                    .comm = {MPI_COMM_NULL, MPI_COMM_NULL},
                    .capacity = max_n * max_m,
                    .arriving = MPI_REQUEST_NULL};
  rn_status status = make_buffers(err, fold);
  for (int d = 0; status == RN_OK && d < DIRECTIONS; d++) {
    status = RN_MPI_STATUS(err, MPI_Comm_dup(rn_grid_sequence_comm(grid), &fold->comm[d]));
  }
  if (status != RN_OK) {
    rn_fold_destroy(&fold);
    return status;
  }
  *out = fold;
  return RN_OK;
}

void rn_fold_destroy(rn_fold **out) {
  rn_fold *fold = *out;
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

rn_scan_port *rn_fold_port(rn_fold *fold, int band, int bands) {
  fold->band = band;
  fold->bands = bands;
  return &fold->port;
}

void rn_fold_carry(rn_fold *fold, const float *initial, float *final) {
  fold->initial = initial;
  fold->final = final;
}

int64_t rn_fold_bytes_sent(const rn_fold *fold) {
  return fold->bytes_sent;
}

double rn_fold_wait_s(const rn_fold *fold) {
  return fold->wait_s;
}
