/*
 * Checks that every scan algorithm gives the result of a serial scan over the pieces: in both
 * directions, for any number of ranks and segments, with several sequences in flight, and with
 * initial states. The results with the communication thread are bitwise the same as without it.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_ops.h"
#include "comm/world/grid.h"
#include "proto/base/random.h"
#include "tests/support/check.h"

static rn_err err;
static rn_comm_thread *thread; /* NULL: progress only by polls */
static uint64_t bits;          /* hash of all results so far */

/* Parameters of the scans of a pipeline stage. `sequences` is the number of micro-batches, each
 * with `heads` states; forward runs `ahead` units ahead of backward. */
typedef struct stage_case {
  int sequences, segments, layers, heads, ahead;
  int64_t matrix;
  bool streams;   /* true: sequences have an initial state, and the final state is kept */
  double epsilon; /* factors below it are treated as 0 */
} stage_case;

/* Identifies a scan: its direction, its unit (sequence and segment) and its layer. */
typedef struct scan_index {
  rn_scan_direction direction;
  int sequence, segment, layer;
} scan_index;

static rn_random_key key_of(scan_index at, int piece) {
  uint64_t words[4] = {(uint64_t)at.direction, (uint64_t)at.sequence, (uint64_t)at.layer,
                       (uint64_t)piece};
  return rn_random_key_make(RN_RANDOM_TEST, words, 4);
}

static double random_value(rn_random_key key, int64_t index) {
  return 2 * rn_random_uniform(key, (uint64_t)index) - 1;
}

static double number(scan_index at, int piece, int64_t index) {
  return random_value(key_of(at, piece), index);
}

/* Returns the logarithm of a decay factor. Factors differ between pieces, as if pieces had
 * different lengths; some are 0, as at the boundary of a document. */
static double log_decay(scan_index at, int piece, int head) {
  if ((at.sequence + piece + head) % 5 == 0) return -INFINITY;
  return -0.3 * (1 + number(at, piece, 1000000 + head));
}

/* The last sequence has fewer heads, since a micro-batch may be smaller. */
static int heads_of(const stage_case *c, int sequence) {
  return sequence > 0 && sequence == c->sequences - 1 ? (c->heads + 1) / 2 : c->heads;
}

/* Returns an element of the initial state of a sequence. It is generated as a value of a fictitious
 * piece -1. */
static double start_of(const stage_case *c, scan_index at, int64_t index) {
  return c->streams && at.direction == RN_SCAN_FORWARD ? number(at, -1, index) : 0;
}

/* Computes the state before piece `mine`, or the final state if no such piece exists.
 */
static void serial(const stage_case *c, scan_index at, int size, int mine, float *before) {
  const int pieces = c->segments * size;
  double *state = calloc((size_t)c->matrix, sizeof *state);
  for (int h = 0; h < heads_of(c, at.sequence); h++) {
    const int64_t first = h * c->matrix;
    for (int64_t e = 0; e < c->matrix; e++) state[e] = start_of(c, at, first + e);
    for (int step = 0; step < pieces; step++) {
      const int piece = at.direction == RN_SCAN_FORWARD ? step : pieces - 1 - step;
      if (piece == mine) break;
      const rn_random_key key = key_of(at, piece);
      double factor = exp(log_decay(at, piece, h));
      if (factor < c->epsilon) factor = 0;
      for (int64_t e = 0; e < c->matrix; e++) {
        state[e] = factor * state[e] + random_value(key, first + e);
      }
    }
    for (int64_t e = 0; e < c->matrix; e++) before[first + e] = (float)state[e];
  }
  free(state);
}

/* Simulates computation, during which the communication thread makes progress. */
static void compute(void) {
  nanosleep(&(struct timespec){.tv_nsec = 30000}, NULL);
}

static void record_bits(const float *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t word;
    memcpy(&word, values + i, sizeof word);
    bits = (bits ^ word) * UINT64_C(0x100000001b3);
  }
}

/* Publishes the state after this rank's piece, as the model does in reproducible mode. */
static void publish(const stage_case *c, rn_scan_port *port, const double *decay, const float *own,
                    const float *before, int n) {
  float *after = calloc((size_t)(n * c->matrix), sizeof *after);
  for (int h = 0; h < n; h++) {
    const double factor = exp(decay[h]) < c->epsilon ? 0 : exp(decay[h]);
    for (int64_t i = h * c->matrix; i < (h + 1) * c->matrix; i++) {
      after[i] = factor == 0 ? own[i] : (float)factor * before[i] + own[i];
    }
  }
  CHECK_OK(&err, port->publish(port->self, &err, after));
  free(after);
}

static void one_scan(const stage_case *c, rn_scan *scan, scan_index at, int size, int rank) {
  const int n = heads_of(c, at.sequence), piece = at.segment * size + rank;
  const int64_t total = n * c->matrix;
  double *decay = calloc((size_t)n, sizeof *decay);
  float *own = calloc((size_t)total, sizeof *own), *got = calloc((size_t)total, sizeof *got),
        *want = calloc((size_t)total, sizeof *want);
  const rn_random_key key = key_of(at, piece);
  rn_scan_port *port = rn_scan_port_of(scan);
  for (int h = 0; h < n; h++) decay[h] = log_decay(at, piece, h);
  for (int64_t i = 0; i < total; i++) own[i] = (float)random_value(key, i);
  rn_comm_thread_release(thread);
  CHECK_OK(&err, port->begin(port->self, &err, at.direction, at.layer,
                             (rn_scan_element){n, c->matrix, decay, own}));
  if (thread != NULL && (at.layer + rank) % 3 == 0) compute();
  for (int i = 0; i < (at.layer + rank) % 4; i++) port->poll(port->self);
  CHECK_OK(&err, port->end(port->self, &err, got));
  if (port->publish != NULL) publish(c, port, decay, own, got, n);
  (void)rn_comm_thread_acquire(thread);
  record_bits(got, total);
  serial(c, at, size, piece, want);
  double scale = 0;
  for (int64_t i = 0; i < total; i++) {
    const double here = fabs((double)want[i]);
    if (here > scale) scale = here;
  }
  if (scale > 0) {
    CHECK_ARRAY("before", got, want, total, 1e-6);
  } else {
    for (int64_t i = 0; i < total; i++) CHECK(got[i] == 0);
  }
  free(decay);
  free(own);
  free(got);
  free(want);
}

/* Initial and final states of a sequence, [layers, n, matrix]. */
typedef struct boundary {
  float *initial, *final;
} boundary;

static boundary make_boundary(const stage_case *c, int sequence) {
  const int64_t each = heads_of(c, sequence) * c->matrix, count = c->layers * each;
  boundary e = {calloc((size_t)count, sizeof(float)), calloc((size_t)count, sizeof(float))};
  for (int64_t i = 0; i < count; i++) {
    const scan_index at = {RN_SCAN_FORWARD, sequence, 0, (int)(i / each)};
    e.initial[i] = (float)number(at, -1, i % each);
  }
  return e;
}

static void check_final(const stage_case *c, int sequence, int size, const float *final) {
  const int64_t each = heads_of(c, sequence) * c->matrix;
  float *want = calloc((size_t)each, sizeof *want);
  for (int l = 0; l < c->layers; l++) {
    const scan_index at = {RN_SCAN_FORWARD, sequence, 0, l};
    serial(c, at, size, c->segments * size, want);
    CHECK_ARRAY("final", final + l * each, want, each, 1e-6);
  }
  free(want);
}

static void one_unit(const stage_case *c, rn_scan *scan, rn_scan_direction direction, int unit,
                     int size, int rank) {
  const int k = unit % c->segments;
  const bool forward = direction == RN_SCAN_FORWARD;
  scan_index at = {direction, unit / c->segments, forward ? k : c->segments - 1 - k, 0};
  const bool streams = c->streams && forward;
  boundary e = streams ? make_boundary(c, at.sequence) : (boundary){0};
  rn_scan_set_segment(scan, at.segment, c->segments);
  rn_scan_set_boundary(scan, e.initial, e.final);
  for (int l = 0; l < c->layers; l++) {
    at.layer = forward ? l : c->layers - 1 - l;
    one_scan(c, scan, at, size, rank);
  }
  if (streams && rank == size - 1 && at.segment == c->segments - 1) {
    check_final(c, at.sequence, size, e.final);
  }
  free(e.initial);
  free(e.final);
}

/* Runs the scans of all units of a stage in the order of a pipeline schedule, in which forward is
 * `ahead` units ahead of backward. */
static void scans_of_a_stage_are_serial_ones(const rn_grid *grid, rn_scan_algorithm algorithm,
                                             stage_case c, int size, int rank) {
  const rn_scan_shape shape = {c.heads, c.matrix, c.layers, c.segments, c.epsilon, false};
  const int units = c.sequences * c.segments;
  rn_scan *scan = NULL;
  CHECK_OK(&err, rn_scan_create(&err, grid, algorithm, shape, &scan));
  rn_scan_use_thread(scan, thread);
  for (int f = 0, b = 0; b < units;) {
    const bool whole = f >= (b / c.segments + 1) * c.segments;
    if (f < units && (!whole || f - b < c.ahead)) {
      one_unit(&c, scan, RN_SCAN_FORWARD, f++, size, rank);
    } else {
      one_unit(&c, scan, RN_SCAN_REVERSE, b++, size, rank);
    }
  }
  CHECK(size == 1 || rn_scan_bytes_sent(scan) > 0);
  rn_scan_destroy(&scan);
}

/* Checks that the results with a communication thread are bitwise the same as without it; `without`
 * is the hash of the results without it. */
static void a_thread_changes_no_bits(const rn_world *world, const rn_grid *grid, stage_case c,
                                     int size, int rank, uint64_t without) {
  for (int wait = RN_COMM_THREAD_OWN_CORE; wait <= RN_COMM_THREAD_PERIODIC; wait++) {
    if (!CHECK_OK(&err, rn_comm_thread_start(&err, world, wait, &thread))) return;
    bits = 0;
    scans_of_a_stage_are_serial_ones(grid, RN_SCAN_PIPELINED, c, size, rank);
    rn_comm_thread_stop(&thread);
    CHECK(bits == without);
  }
}

/* Checks that if all factors are 0, the state before a piece depends only on the preceding piece,
 * regardless of when messages arrive. Not even a NaN of an earlier piece is propagated. */
static void a_reset_stops_everything(const rn_grid *grid, rn_scan_algorithm algorithm, int size,
                                     int rank, int polls) {
  enum { N = 3, M = 9001 };
  static float own[N * M], got[N * M];
  double decay[N];
  rn_scan *scan = NULL;
  CHECK_OK(&err,
           rn_scan_create(&err, grid, algorithm, (rn_scan_shape){N, M, 1, 1, 0, false}, &scan));
  rn_scan_port *port = rn_scan_port_of(scan);
  for (int h = 0; h < N; h++) decay[h] = -INFINITY;
  for (int i = 0; i < N * M; i++) own[i] = rank == 0 ? (i % 2 ? NAN : INFINITY) : (float)rank;
  CHECK_OK(&err,
           port->begin(port->self, &err, RN_SCAN_FORWARD, 0, (rn_scan_element){N, M, decay, own}));
  if (algorithm == RN_SCAN_PIPELINED && rank < size - 1) {
    CHECK_EQUAL(rn_scan_bytes_sent(scan), sizeof own);
  }
  for (int i = 0; i < polls; i++) port->poll(port->self);
  CHECK_OK(&err, port->end(port->self, &err, got));
  if (port->publish != NULL) CHECK_OK(&err, port->publish(port->self, &err, own));
  int wrong = 0;
  for (int i = 0; rank != 1 && i < N * M; i++) wrong += got[i] != (float)(rank == 0 ? 0 : rank - 1);
  CHECK_EQUAL(wrong, 0);
  rn_scan_destroy(&scan);
}

/* Checks that factors below the smallest normal float, and no others, are replaced by 0. */
static void only_subnormal_factors_are_dropped(void) {
  CHECK(rn_scan_factor(-87) > 0 && rn_scan_factor(-20) > 0 && rn_scan_factor(0) == 1);
  CHECK(rn_scan_factor(-88) == 0 && rn_scan_factor(-INFINITY) == 0);
}

static void a_state_too_large_for_a_message_is_refused(const rn_grid *grid) {
  rn_scan *scan = NULL;
  const int64_t large = (int64_t)1 << 31;
  CHECK_FAILS(&err, RN_ERR_USAGE, "doubling|chain",
              rn_scan_create(&err, grid, RN_SCAN_DOUBLING,
                             (rn_scan_shape){2, large / 2, 1, 1, 0, false}, &scan));
  CHECK_FAILS(&err, RN_ERR_USAGE, "exscan|chain",
              rn_scan_create(&err, grid, RN_SCAN_EXSCAN,
                             (rn_scan_shape){1, large / 4, 1, 1, 0, false}, &scan));
  CHECK(scan == NULL);
}

int main(int argc, char **argv) {
  static const stage_case cases[] = {
      {.sequences = 3, .segments = 1, .layers = 3, .heads = 3, .ahead = 2, .matrix = 35},
      {.sequences = 1, .segments = 5, .layers = 2, .heads = 4, .ahead = 7, .matrix = 24},
      {.sequences = 3, .segments = 2, .layers = 3, .heads = 3, .ahead = 4, .matrix = 35},
      {.sequences = 4, .segments = 3, .layers = 1, .heads = 2, .ahead = 8, .matrix = 12},
      {.sequences = 2,
       .segments = 1,
       .layers = 2,
       .heads = 5,
       .ahead = 2,
       .matrix = 8,
       .streams = true},
      {.sequences = 3,
       .segments = 3,
       .layers = 2,
       .heads = 3,
       .ahead = 5,
       .matrix = 9,
       .streams = true},
      {.sequences = 2,
       .segments = 2,
       .layers = 2,
       .heads = 5,
       .ahead = 4,
       .matrix = 7,
       .epsilon = 0.7},
      {.sequences = 2, .segments = 2, .layers = 1, .heads = 3, .ahead = 2, .matrix = 20011},
  };
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start_serialized(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, size, &grid));
  const int algorithms = size == 1 ? RN_SCAN_SINGLE_RANK : RN_SCAN_ORDERED;
  for (int a = RN_SCAN_PIPELINED; a <= algorithms; a++) {
    const rn_scan_algorithm algorithm = (rn_scan_algorithm)a;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      bits = 0;
      scans_of_a_stage_are_serial_ones(grid, algorithm, cases[i], size, rank);
      if (a == RN_SCAN_PIPELINED && cases[i].segments == 2) {
        a_thread_changes_no_bits(world, grid, cases[i], size, rank, bits);
      }
    }
    for (int i = 0; i < 4; i++) a_reset_stops_everything(grid, algorithm, size, rank, 20 * i);
  }
  only_subnormal_factors_are_dropped();
  a_state_too_large_for_a_message_is_refused(grid);
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
