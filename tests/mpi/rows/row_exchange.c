/*
 * Checks the exchange of keys and values, on any number of ranks, with segments, windows and pieces
 * of unequal length. In forward, each rank must receive all rows that its queries attend to. In
 * backward, the owner of a row must receive the sum of the gradients from all pieces that attend to
 * the row. In reproducible mode, gradients are added in descending order of pieces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/rows/row_exchange.h"
#include "tests/support/check.h"
#include "tests/support/world.h"

/* A row is so large that MPI sends no message before its receive has been posted. */
enum { SEQUENCES = 2, LAYERS = 2, LENGTH = 43, ELEMENTS = 1500, MICROBATCHES = 2 };

static rn_err err;

typedef struct exchange_case {
  int segments, window;
  bool ordered;
} exchange_case;

typedef struct run {
  const exchange_case *c;
  int rank, ranks, pieces;
  int64_t bound[64];
  rn_row_exchange *exchange;
  rn_row_port *port;
} run;

static float value(int microbatch, int layer, int sequence, int64_t position, int e) {
  return (float)(((microbatch * LAYERS + layer) * SEQUENCES + sequence) * 1000 + position * 4 + e);
}

static bool differs(float a, float b) {
  return a < b || a > b;
}

static rn_range piece_of(const run *r, int piece) {
  return (rn_range){r->bound[piece], r->bound[piece + 1]};
}

static int64_t reach_of(const run *r, int piece) {
  const int64_t first = r->bound[piece] - r->c->window + 1;
  return r->c->window > 0 && first > 0 ? first : 0;
}

/* Divides the sequence into pieces of unequal length; some are empty. */
static void cut(run *r) {
  for (int i = 0; i <= r->pieces; i++) {
    const int64_t even = (int64_t)LENGTH * i / r->pieces;
    r->bound[i] = i > 0 && i < r->pieces && i % 3 == 0 ? r->bound[i - 1] : even;
  }
}

static void set_unit(const run *r, int microbatch, int segment, bool backward) {
  rn_row_exchange_set_unit(r->exchange,
                           (rn_row_unit){microbatch, segment, r->c->segments, backward, r->bound});
}

/* Exchanges the rows of one layer, and checks the received rows and their range of positions. */
static void exchange_rows(const run *r, int microbatch, int segment, int layer) {
  const int piece = segment * r->ranks + r->rank;
  const rn_range own = piece_of(r, piece);
  const int64_t count = rn_range_count(own);
  float *rows = calloc((size_t)(SEQUENCES * count * ELEMENTS + 1), sizeof *rows);
  rn_row_view view = {0};
  for (int b = 0; b < SEQUENCES; b++) {
    for (int64_t i = 0; i < count * ELEMENTS; i++) {
      rows[b * count * ELEMENTS + i] =
          value(microbatch, layer, b, own.begin + i / ELEMENTS, (int)(i % ELEMENTS));
    }
  }
  const rn_row_piece call = {layer, SEQUENCES, own, ELEMENTS * sizeof *rows, rows};
  CHECK_OK(&err, r->port->begin(r->port->self, &err, &call));
  r->port->poll(r->port->self);
  CHECK_OK(&err, r->port->end(r->port->self, &err, &view));
  CHECK_EQUAL(view.positions.begin, reach_of(r, piece));
  CHECK_EQUAL(view.positions.end, own.end);
  const float *got = view.rows;
  for (int b = 0; b < SEQUENCES; b++) {
    for (int64_t n = view.positions.begin; n < view.positions.end; n++) {
      const float *row = got + (b * view.stride + n - view.positions.begin) * ELEMENTS;
      int wrong = 0;
      for (int e = 0; e < ELEMENTS; e++)
        wrong += differs(row[e], value(microbatch, layer, b, n, e));
      if (wrong > 0) CHECK_EQUAL(wrong, 0);
    }
  }
  free(rows);
}

/* Returns the running sum after the contribution of `piece` has been added to `sum`. In
 * reproducible mode, the final sum depends on the order of the pieces. */
static float next_sum(const run *r, float sum, int piece) {
  return (r->c->ordered ? 0.75f : 1.0f) * sum + (float)piece + 1;
}

/* Returns the expected sum of a row after all pieces from the last one down to `piece` have
 * contributed. */
static float total(const run *r, int64_t position, int piece) {
  float sum = 0;
  for (int p = r->pieces - 1; p >= piece; p--) {
    if (position < reach_of(r, p) || position >= r->bound[p + 1]) continue;
    sum = next_sum(r, sum, p);
  }
  return sum;
}

static void exchange_sums(const run *r, int segment, int64_t stride, int64_t first) {
  const int piece = segment * r->ranks + r->rank;
  const rn_range own = piece_of(r, piece);
  rn_row_gradients sums = {0};
  CHECK_OK(&err, r->port->begin_sums(r->port->self, &err, ELEMENTS, &sums));
  for (int b = 0; b < SEQUENCES; b++) {
    for (int64_t n = first; n < own.end; n++) {
      float *sum = sums.sum + (b * stride + n - first) * ELEMENTS;
      for (int e = 0; e < ELEMENTS; e++) sum[e] = next_sum(r, sum[e], piece);
    }
  }
  CHECK_OK(&err, r->port->end_sums(r->port->self, &err));
  for (int b = 0; b < SEQUENCES; b++) {
    for (int64_t n = own.begin; n < own.end; n++) {
      const float *got = sums.sum + (b * stride + n - first) * ELEMENTS;
      const float want = total(r, n, piece);
      int wrong = 0;
      for (int e = 0; e < ELEMENTS; e++) wrong += differs(got[e], want);
      if (wrong > 0) CHECK_EQUAL(wrong, 0);
    }
  }
}

static void backward(const run *r, int microbatch, int segment, int layer) {
  const int piece = segment * r->ranks + r->rank;
  const int64_t first = reach_of(r, piece);
  const int64_t stride = r->c->segments > 1 ? LENGTH : r->bound[piece + 1] - first;
  exchange_rows(r, microbatch, segment, layer);
  exchange_rows(r, microbatch, segment, layer); /* as when forward is recomputed during backward */
  exchange_sums(r, segment, stride, first);
}

/* Runs forward of two micro-batches, then backward of both, so that both are in flight together. */
static void run_case(const rn_grid *grid, const exchange_case *c) {
  run r = {.c = c, .rank = rn_grid_sequence(grid), .ranks = rn_grid_sequence_size(grid)};
  r.pieces = c->segments * r.ranks;
  cut(&r);
  const rn_row_exchange_shape shape = {.sequences = SEQUENCES,
                                       .tokens = LENGTH,
                                       .own_tokens = LENGTH,
                                       .layers = LAYERS,
                                       .segments = c->segments,
                                       .microbatches = MICROBATCHES,
                                       .window = c->window,
                                       .backward = true,
                                       .ordered = c->ordered,
                                       .multiple = 1,
                                       .elements = ELEMENTS,
                                       .bytes = ELEMENTS * sizeof(float)};
  if (!CHECK_OK(&err, rn_row_exchange_create(&err, grid, shape, &r.exchange))) return;
  CHECK_OK(&err, rn_row_exchange_connect(&err, r.exchange));
  r.port = rn_row_exchange_port(r.exchange);
  for (int m = 0; m < MICROBATCHES; m++) {
    for (int k = 0; k < c->segments; k++) {
      set_unit(&r, m, k, false);
      for (int layer = 0; layer < LAYERS; layer++) exchange_rows(&r, m, k, layer);
    }
  }
  for (int m = 0; m < MICROBATCHES; m++) {
    for (int k = c->segments - 1; k >= 0; k--) {
      set_unit(&r, m, k, true);
      for (int layer = LAYERS - 1; layer >= 0; layer--) backward(&r, m, k, layer);
    }
  }
  rn_row_exchange_destroy(&r.exchange);
}

/* Returns the size in bytes of the buffers of an exchange with 3 segments. */
static size_t bytes_of_messages(int layers, bool ordered) {
  const rn_row_exchange_shape shape = {.sequences = SEQUENCES,
                                       .tokens = LENGTH,
                                       .own_tokens = LENGTH,
                                       .layers = layers,
                                       .segments = 3,
                                       .microbatches = MICROBATCHES,
                                       .backward = true,
                                       .ordered = ordered,
                                       .multiple = 1};
  return rn_row_exchange_bytes(shape, 4);
}

/* Buffers for the sums of each layer are needed only in reproducible mode, where the sums of
 * several layers are in flight at the same time. */
static void layers_have_their_own_messages_only_if_ordered(void) {
  CHECK(bytes_of_messages(1, false) > 0);
  CHECK_EQUAL(bytes_of_messages(9, false), bytes_of_messages(1, false));
  CHECK_EQUAL(bytes_of_messages(1, true), bytes_of_messages(1, false));
  CHECK(bytes_of_messages(9, true) > bytes_of_messages(1, true));
}

int main(int argc, char **argv) {
  static const exchange_case cases[] = {
      {1, 0, false}, {3, 0, false}, {1, 5, false}, {2, 12, false}, {3, 1, false},
      {1, 0, true},  {3, 0, true},  {1, 7, true},  {2, 15, true},
  };
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  if (CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, rn_world_size(world), &grid))) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      const int before = check_failures();
      run_case(grid, &cases[i]);
      if (check_failures() > before) fprintf(stderr, "  in case %zu\n", i);
    }
  }
  rn_grid_destroy(&grid);
  layers_have_their_own_messages_only_if_ordered();
  return test_finish_world(&err, &world);
}
