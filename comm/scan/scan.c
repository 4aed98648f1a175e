#include "comm/scan/scan.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_cost.h"
#include "comm/scan/scan_ops.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/span.h"

/* For states smaller than this, latency dominates, so the algorithm with fewer rounds is faster. */
enum { SMALL_STATE_BYTES = 32768 };

static const rn_scan_ops *const algorithms[] = {
    [RN_SCAN_PIPELINED] = &rn_scan_pipelined,     [RN_SCAN_DOUBLING] = &rn_scan_doubling,
    [RN_SCAN_EXSCAN] = &rn_scan_exscan,           [RN_SCAN_ORDERED] = &rn_scan_ordered,
    [RN_SCAN_SINGLE_RANK] = &rn_scan_single_rank,
};

rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes) {
  return ranks > 4 && state_bytes <= SMALL_STATE_BYTES ? RN_SCAN_DOUBLING : RN_SCAN_PIPELINED;
}

const char *rn_scan_name(rn_scan_algorithm algorithm) {
  return algorithms[algorithm]->name;
}

size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks) {
  return algorithms[algorithm]->bytes(shape, rank, ranks);
}

/* Returns the error that an earlier progress() stored because poll() cannot return an error. */
static rn_status check_poll(rn_err *err, const rn_scan *scan) {
  if (scan->poll_err.status == RN_OK) return RN_OK;
  return rn_fail(err, scan->poll_err.status, "%s", scan->poll_err.text);
}

/* Sets sequence_initial on the rank with the first piece of the sequence, and sequence_final on the
 * rank with the last piece; sets them to NULL on other ranks. */
static void set_boundary(rn_scan *scan) {
  const int index = rn_scan_segment_index(scan), position = rn_scan_position(scan);
  const int64_t offset = (int64_t)scan->layer * scan->n * scan->shape.matrix;
  const bool forward = scan->direction == RN_SCAN_FORWARD;
  const bool first = index == 0 && position == 0;
  const bool last = index == scan->segments - 1 && position == scan->size - 1;
  scan->sequence_initial =
      forward && first && scan->initial != NULL ? scan->initial + offset : NULL;
  scan->sequence_final = forward && last && scan->final != NULL ? scan->final + offset : NULL;
}

/* Each function of the port acquires MPI from the communication thread on entry and, if that thread
 * owned MPI, releases it on return. */
static rn_status scan_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                            rn_scan_element element) {
  rn_scan *scan = self;
  assert(element.n <= scan->shape.heads && element.m == scan->shape.matrix);
  assert(layer >= 0 && layer < scan->shape.layers);
  const bool released = rn_comm_thread_acquire(scan->thread);
  scan->direction = direction;
  scan->layer = layer;
  scan->n = element.n;
  scan->own = element.own;
  for (int i = 0; i < element.n; i++) {
    const double log_decay = element.log_decay[i];
    scan->log_decay[i] = exp(log_decay) >= scan->shape.epsilon ? log_decay : -INFINITY;
    scan->factor[i] = rn_scan_factor(scan->log_decay[i]);
  }
  set_boundary(scan);
  rn_status status = check_poll(err, scan);
  if (status == RN_OK) status = scan->ops->begin(err, scan);
  /* If the previous rank's state has already arrived, this call sends the next state
   * immediately. */
  if (status == RN_OK && scan->ops->progress != NULL && scan->poll_err.status == RN_OK) {
    scan->ops->progress(&scan->poll_err, scan, false);
  }
  if (released) rn_comm_thread_release(scan->thread);
  return status;
}

static void scan_poll(void *self) {
  rn_scan *scan = self;
  if (scan->ops->progress == NULL || scan->thread != NULL || scan->poll_err.status != RN_OK) return;
  scan->ops->progress(&scan->poll_err, scan, false);
}

static rn_progress_state thread_progress(void *self) {
  rn_scan *scan = self;
  if (scan->poll_err.status != RN_OK) return RN_PROGRESS_DONE;
  return scan->ops->progress(&scan->poll_err, scan, true);
}

static bool scan_test(void *self) {
  const rn_scan *scan = self;
  return scan->ops->test(scan);
}

static rn_status scan_end(void *self, rn_err *err, float *before) {
  rn_scan *scan = self;
  const double start_s = rn_clock_s();
  rn_span_begin("wait for state");
  const bool released = rn_comm_thread_acquire(scan->thread);
  rn_status status = check_poll(err, scan);
  if (status == RN_OK) status = scan->ops->end(err, scan);
  rn_span_end();
  scan->wait_s[scan->direction] += rn_clock_s() - start_s;
  if (status == RN_OK && scan->before != NULL) {
    memcpy(before, scan->before, rn_scan_state_bytes(scan));
  } else if (status == RN_OK) {
    memset(before, 0, rn_scan_state_bytes(scan));
  }
  if (status == RN_OK && scan->ops->update != NULL) scan->ops->update(scan);
  if (released) rn_comm_thread_release(scan->thread);
  return status;
}

static rn_status scan_publish(void *self, rn_err *err, const float *after) {
  rn_scan *scan = self;
  if (scan->sequence_final != NULL) memcpy(scan->sequence_final, after, rn_scan_state_bytes(scan));
  const bool released = rn_comm_thread_acquire(scan->thread);
  rn_status status = check_poll(err, scan);
  if (status == RN_OK) status = scan->ops->publish(err, scan, after);
  if (released) rn_comm_thread_release(scan->thread);
  return status;
}

static rn_status make_axes(rn_err *err, const rn_grid *grid, rn_scan *scan) {
  MPI_Comm sequence = rn_grid_sequence_comm(grid);
  const int rank = rn_grid_sequence(grid);
  for (int d = RN_SCAN_FORWARD; d <= RN_SCAN_REVERSE; d++) {
    const int key = d == RN_SCAN_FORWARD ? rank : scan->size - 1 - rank;
    RN_MPI_WAIT(err, MPI_Comm_split(sequence, 0, key, &scan->axis[d]));
    RN_MPI(err, MPI_Comm_set_errhandler(scan->axis[d], MPI_ERRORS_RETURN));
    scan->position[d] = key;
  }
  return RN_OK;
}

/* The block size does not affect results, so it may depend on measured times. */
static rn_status choose_blocks(rn_err *err, rn_scan *scan) {
  const rn_scan_shape *s = &scan->shape;
  const int64_t head_bytes = s->matrix * (int64_t)sizeof(float);
  int64_t block_bytes = RN_SCAN_MIN_BLOCK;
  if (scan->ops->blocks && scan->size > 1 && head_bytes > block_bytes) {
    RN_TRY(err, rn_scan_cost_measure(err, scan->axis[RN_SCAN_FORWARD], &scan->cost));
    block_bytes = rn_scan_cost_block(scan->cost, scan->size * s->segments, s->heads * head_bytes);
  }
  scan->blocks = rn_scan_blocks_make(s->heads, s->matrix, block_bytes / (int64_t)sizeof(float));
  return RN_OK;
}

static rn_status create_parts(rn_err *err, const rn_grid *grid, rn_scan *scan) {
  const size_t heads = (size_t)scan->shape.heads;
  RN_TRY(err, make_axes(err, grid, scan));
  RN_TRY(err, choose_blocks(err, scan));
  RN_TRY(err, rn_alloc(err, "scan factors", heads, sizeof(float), &scan->factor));
  RN_TRY(err, rn_alloc(err, "scan factors", heads, sizeof(double), &scan->log_decay));
  return scan->ops->create(err, scan);
}

rn_status rn_scan_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                         rn_scan_shape shape, rn_scan **out) {
  const rn_scan_ops *ops = algorithms[algorithm];
  rn_scan *scan;
  *out = NULL;
  assert(shape.heads > 0 && shape.matrix > 0 && shape.layers > 0 && shape.segments > 0);
  if (ops->fits != NULL && !ops->fits(shape)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "the states (%d heads of %lld elements) are too large for one message of this "
                   "scan (parallel.scan=%s): use parallel.scan=chain without run.reproducible, or "
                   "a smaller parallel.microbatch",
                   shape.heads, (long long)shape.matrix, ops->name);
  }
  rn_status status = rn_alloc(err, "scan", 1, sizeof *scan, &scan);
  if (status != RN_OK) return rn_grid_agree(err, grid, status);
  *scan = (rn_scan){.port = {.self = scan,
                             .begin = scan_begin,
                             .poll = scan_poll,
                             .end = scan_end,
                             .test = scan_test},
                    .ops = ops,
                    .shape = shape,
                    .size = rn_grid_sequence_size(grid),
                    .axis = {MPI_COMM_NULL, MPI_COMM_NULL},
                    .segments = 1};
  status = rn_grid_agree(err, grid, RN_OK);
  if (status == RN_OK) status = create_parts(err, grid, scan);
  if (status != RN_OK) {
    rn_scan_destroy(&scan);
    return status;
  }
  if (ops->publish != NULL && (algorithm != RN_SCAN_SINGLE_RANK || shape.ordered)) {
    scan->port.publish = scan_publish;
  }
  *out = scan;
  return RN_OK;
}

void rn_scan_destroy(rn_scan **out) {
  rn_scan *scan = *out;
  bool ended = true;
  if (scan == NULL) return;
  if (scan->impl != NULL) scan->ops->destroy(scan, &ended);
  rn_scan_wraparound_destroy(scan, &ended);
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    rn_mpi_free_comm(&scan->axis[d]);
  }
  free(scan->factor);
  free(scan->log_decay);
  free(scan);
  *out = NULL;
}

void rn_scan_set_segment(rn_scan *scan, int segment, int segments) {
  assert(segment >= 0 && segment < segments && segments <= scan->shape.segments);
  scan->segment = segment;
  scan->segments = segments;
}

void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final) {
  scan->initial = initial;
  scan->final = final;
}

void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread) {
  scan->thread = thread;
  if (thread == NULL || scan->ops->progress == NULL) return;
  rn_comm_thread_add(thread, (rn_progress_callback){scan, thread_progress});
}

rn_scan_port *rn_scan_port_of(rn_scan *scan) {
  return &scan->port;
}

void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes) {
  if (scan->ops->describe != NULL) {
    scan->ops->describe(scan, text, bytes);
  } else {
    snprintf(text, bytes, "%s", scan->ops->name);
  }
}

int64_t rn_scan_bytes_sent(const rn_scan *scan) {
  return scan->bytes_sent;
}

double rn_scan_wait_s(const rn_scan *scan, rn_scan_direction direction) {
  return scan->wait_s[direction];
}

double rn_scan_held_s(const rn_scan *scan, rn_scan_direction direction) {
  return scan->held_s[direction];
}
