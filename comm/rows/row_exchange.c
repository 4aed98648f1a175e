#include "comm/rows/row_exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "comm/rows/row_messages.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/span.h"

/* Indices in `messages`: list ROWS has the messages with keys and values; the lists from SUMS on
 * have those with sums of gradients. There is one list of sums, except in reproducible mode with
 * several segments. There, each layer has its own list: its sums may stay in flight, while other
 * layers run, until the receiver works on its next segment. The tag of a message is the index of
 * its sequence. */
enum { ROWS, SUMS };

struct rn_row_exchange {
  rn_row_port port;
  rn_row_exchange_shape shape;
  const rn_grid *grid;
  int rank;
  rn_row_messages *messages; /* [message_lists] */
  rn_comm_thread *thread;
  int64_t *bound;
  rn_row_pieces pieces;
  int microbatch, segment;
  /* keys and values: [microbatches, layers, B, tokens] with several segments; else [B, tokens],
   * where tokens is the maximum number in reach of a piece (row_pieces.h) */
  char *rows;
  float *sums;     /* gradients of the rows; same shape, without the dimension `microbatches` */
  float *received; /* [ranks - 1, B, own_tokens]: sums of other ranks */
  /* the current call */
  rn_range reach;
  int layer, sequences;
  /* the current layer's store (see store_rows): position in the sequence of its first row; number
   * of rows per sequence */
  int64_t origin, stride;
  bool held;  /* true if `rows` holds the exchanged rows of `layer` for the current unit */
  bool known; /* true in backward if forward's rows were kept: they need no second exchange */
};

/* True if the rows and sums of all layers are kept from segment to segment. */
static bool keeps(const rn_row_exchange_shape *shape) {
  return shape->segments > 1;
}

static int64_t rows_in_reach(const rn_row_exchange_shape *s) {
  const int64_t before = s->window + s->multiple;
  if (s->window == 0 || keeps(s)) return s->tokens;
  return rn_smaller(s->tokens, s->own_tokens + before);
}

/* Returns the number of rows for which a store has memory. A store is the part of `rows` that
 * belongs to one layer of one micro-batch, or the part of `sums` that belongs to one layer. */
static size_t store_rows(const rn_row_exchange_shape *s) {
  return (size_t)s->sequences * (size_t)rows_in_reach(s);
}

static size_t stores(const rn_row_exchange_shape *s) {
  return keeps(s) ? (size_t)s->layers : 1;
}

static size_t rows_bytes(const rn_row_exchange_shape *s) {
  return (keeps(s) ? (size_t)s->microbatches : 1) * stores(s) * store_rows(s) * s->bytes;
}

static size_t sum_bytes(const rn_row_exchange_shape *s) {
  return s->backward ? stores(s) * store_rows(s) * (size_t)s->elements * sizeof(float) : 0;
}

static size_t received_bytes(const rn_row_exchange_shape *s, int ranks) {
  if (!s->backward || s->ordered) return 0;
  return (size_t)(ranks - 1) * (size_t)s->sequences * (size_t)s->own_tokens * (size_t)s->elements *
         sizeof(float);
}

/* True if each layer has its own list of sums. */
static bool lists_layers(const rn_row_exchange_shape *s) {
  return keeps(s) && s->ordered;
}

static int message_lists(const rn_row_exchange_shape *s) {
  return SUMS + (lists_layers(s) ? s->layers : 1);
}

size_t rn_row_exchange_bytes(rn_row_exchange_shape shape, int ranks) {
  return rows_bytes(&shape) + sum_bytes(&shape) + received_bytes(&shape, ranks) +
         (size_t)message_lists(&shape) * rn_row_messages_bytes(ranks * shape.sequences);
}

/* ---- addresses of rows and sums ---- */

static int ranks_of(const rn_row_exchange *x) {
  return x->pieces.ranks;
}

/* Returns the index of a row within its store (store_rows). */
static int64_t row_at(const rn_row_exchange *x, int sequence, int64_t position) {
  return sequence * x->stride + position - x->origin;
}

static char *rows_of(const rn_row_exchange *x) {
  const rn_row_exchange_shape *s = &x->shape;
  if (!keeps(s)) return x->rows;
  const size_t store =
      (size_t)(x->microbatch % s->microbatches) * (size_t)s->layers + (size_t)x->layer;
  return x->rows + store * store_rows(s) * s->bytes;
}

static float *sums_of(const rn_row_exchange *x) {
  const rn_row_exchange_shape *s = &x->shape;
  if (!keeps(s)) return x->sums;
  return x->sums + (size_t)x->layer * store_rows(s) * (size_t)s->elements;
}

/* Returns the list that has the messages with the current layer's sums. */
static rn_row_messages *sum_messages(const rn_row_exchange *x) {
  return &x->messages[SUMS + (lists_layers(&x->shape) ? x->layer : 0)];
}

/* ---- keys and values ---- */

static void copy_own(const rn_row_exchange *x, const rn_row_piece *piece) {
  const size_t own = (size_t)rn_range_count(piece->positions) * piece->bytes;
  for (int b = 0; b < piece->sequences; b++) {
    memcpy(rows_of(x) + (size_t)row_at(x, b, piece->positions.begin) * piece->bytes,
           (const char *)piece->rows + (size_t)b * own, own);
  }
}

/* Posts one message per sequence, which sends `rows` to `peer` or receives them from `peer`. */
static rn_status post_rows(rn_err *err, rn_row_exchange *x, bool send, int peer, rn_range rows) {
  for (int b = 0; b < x->sequences && rows.begin < rows.end; b++) {
    const rn_row_message message = {rows_of(x) + (size_t)row_at(x, b, rows.begin) * x->shape.bytes,
                                    rn_range_count(rows), peer, b};
    RN_TRY(err, rn_row_messages_post(err, &x->messages[ROWS], send, message));
  }
  return RN_OK;
}

static rn_status exchange_rows(rn_err *err, rn_row_exchange *x, const rn_row_piece *piece) {
  /* The sends that the previous call started may still read the memory that copy_own overwrites. */
  RN_TRY(err, rn_row_messages_wait(err, &x->messages[ROWS]));
  copy_own(x, piece);
  for (int peer = 0; peer < ranks_of(x); peer++) {
    RN_TRY(err,
           post_rows(err, x, false, peer, rn_row_forward(&x->pieces, x->segment, peer, x->rank)));
  }
  for (int peer = 0; peer < ranks_of(x); peer++) {
    RN_TRY(err,
           post_rows(err, x, true, peer, rn_row_forward(&x->pieces, x->segment, x->rank, peer)));
  }
  return RN_OK;
}

static rn_status row_begin(void *self, rn_err *err, const rn_row_piece *piece) {
  rn_row_exchange *x = self;
  const rn_range own = rn_row_piece_of(&x->pieces, x->segment, x->rank);
  assert(piece->layer >= 0 && piece->layer < x->shape.layers && piece->bytes == x->shape.bytes);
  assert(piece->sequences <= x->shape.sequences);
  assert(rn_range_count(own) == rn_range_count(piece->positions));
  x->held = x->held && x->layer == piece->layer;
  x->layer = piece->layer;
  x->sequences = piece->sequences;
  x->reach = rn_row_reach(&x->pieces, x->segment, x->rank);
  x->origin = keeps(&x->shape) ? 0 : x->reach.begin;
  x->stride = keeps(&x->shape) ? rows_in_reach(&x->shape) : rn_range_count(x->reach);
  if (x->held || x->known) return RN_OK;
  rn_row_piece at_own = *piece;
  at_own.positions = own;
  const bool released = rn_comm_thread_acquire(x->thread);
  rn_status status = exchange_rows(err, x, &at_own);
  if (released) rn_comm_thread_release(x->thread);
  return status;
}

static void row_poll(void *self) {
  const rn_row_exchange *x = self;
  if (x->thread == NULL && ranks_of(x) > 1) rn_mpi_progress(x->messages[ROWS].comm);
}

static rn_status row_end(void *self, rn_err *err, rn_row_view *out) {
  rn_row_exchange *x = self;
  const bool released = rn_comm_thread_acquire(x->thread);
  rn_span_begin("wait for keys and values");
  rn_status status = rn_row_messages_receive(err, &x->messages[ROWS]);
  rn_span_end();
  if (released) rn_comm_thread_release(x->thread);
  x->held = true;
  *out = (rn_row_view){x->reach, x->stride,
                       rows_of(x) + (size_t)row_at(x, 0, x->reach.begin) * x->shape.bytes};
  return status;
}

/* ---- gradients ---- */

static float *sum_at(const rn_row_exchange *x, int sequence, int64_t position) {
  return sums_of(x) + row_at(x, sequence, position) * x->shape.elements;
}

static void clear_sums(const rn_row_exchange *x, rn_range rows) {
  const size_t bytes = (size_t)x->shape.elements * sizeof(float);
  for (int b = 0; b < x->sequences && rows.begin < rows.end; b++) {
    memset(sum_at(x, b, rows.begin), 0, (size_t)rn_range_count(rows) * bytes);
  }
}

/* Returns the positions of the rows that a store holds. */
static rn_range kept_positions(const rn_row_exchange *x) {
  const int64_t end = x->pieces.bound[x->pieces.segments * ranks_of(x)];
  return keeps(&x->shape) ? (rn_range){0, end} : x->reach;
}

static rn_status post_sums(rn_err *err, rn_row_exchange *x, bool send, int peer, rn_range rows) {
  for (int b = 0; b < x->sequences && rows.begin < rows.end; b++) {
    const rn_row_message message = {sum_at(x, b, rows.begin), rn_range_count(rows), peer, b};
    RN_TRY(err, rn_row_messages_post(err, sum_messages(x), send, message));
  }
  return RN_OK;
}

/* The piece after or before this rank's piece in the sequence. */
typedef struct neighbour {
  bool exists;
  int segment, rank;
} neighbour;

static neighbour neighbour_of(const rn_row_exchange *x, int step) {
  const int piece = x->segment * ranks_of(x) + x->rank + step;
  if (piece < 0 || piece >= x->pieces.segments * ranks_of(x)) return (neighbour){false, 0, 0};
  return (neighbour){true, piece / ranks_of(x), piece % ranks_of(x)};
}

/* For reproducible mode: receives from the rank with the next piece its sums for the rows that its
 * queries see. Not called if there is only one rank, which has these sums in its own memory. */
static rn_status receive_sums(rn_err *err, rn_row_exchange *x) {
  const neighbour next = neighbour_of(x, 1);
  if (!next.exists) return RN_OK;
  const rn_range reach = rn_row_reach(&x->pieces, next.segment, next.rank);
  RN_TRY(err, post_sums(err, x, false, next.rank, (rn_range){reach.begin, x->reach.end}));
  return rn_row_messages_receive(err, sum_messages(x));
}

/* For reproducible mode: sends to the rank with the previous piece the sums for all rows before
 * this rank's piece. */
static rn_status send_sums(rn_err *err, rn_row_exchange *x) {
  const rn_range own = rn_row_piece_of(&x->pieces, x->segment, x->rank);
  const neighbour previous = neighbour_of(x, -1);
  if (!previous.exists) return RN_OK;
  return post_sums(err, x, true, previous.rank, (rn_range){x->reach.begin, own.begin});
}

static rn_status row_begin_sums(void *self, rn_err *err, int elements, rn_row_gradients *out) {
  rn_row_exchange *x = self;
  const bool last = x->segment == x->pieces.segments - 1;
  assert(elements == x->shape.elements && x->shape.backward);
  const bool released = rn_comm_thread_acquire(x->thread);
  rn_span_begin("wait for gradients of keys and values");
  rn_status status = rn_row_messages_wait(err, sum_messages(x));
  if (status == RN_OK && last) clear_sums(x, kept_positions(x));
  if (status == RN_OK && x->shape.ordered && ranks_of(x) > 1) status = receive_sums(err, x);
  rn_span_end();
  if (released) rn_comm_thread_release(x->thread);
  *out = (rn_row_gradients){elements, sum_at(x, 0, x->reach.begin)};
  return status;
}

/* Returns the buffer [own_tokens, elements] for the sums that `peer` sends for this rank's rows of
 * one sequence. */
static float *received_from(const rn_row_exchange *x, int peer, int sequence) {
  const int index = peer < x->rank ? peer : peer - 1;
  return x->received +
         ((int64_t)index * x->shape.sequences + sequence) * x->shape.own_tokens * x->shape.elements;
}

static rn_status post_received(rn_err *err, rn_row_exchange *x, int peer, rn_range rows) {
  for (int b = 0; b < x->sequences && rows.begin < rows.end; b++) {
    const rn_row_message message = {received_from(x, peer, b), rn_range_count(rows), peer, b};
    RN_TRY(err, rn_row_messages_post(err, sum_messages(x), false, message));
  }
  return RN_OK;
}

static void add_received(const rn_row_exchange *x, int peer, rn_range rows) {
  for (int b = 0; b < x->sequences && rows.begin < rows.end; b++) {
    const float *from = received_from(x, peer, b);
    float *to = sum_at(x, b, rows.begin);
    const int64_t count = rn_range_count(rows) * x->shape.elements;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
  }
}

/* Sends this rank's sums to the owners of the rows. Receives the sums of other ranks for this
 * rank's rows, and adds them in ascending order of the ranks. */
static rn_status exchange_sums(rn_err *err, rn_row_exchange *x) {
  for (int peer = 0; peer < ranks_of(x); peer++) {
    RN_TRY(err,
           post_received(err, x, peer, rn_row_backward(&x->pieces, x->segment, peer, x->rank)));
  }
  for (int peer = 0; peer < ranks_of(x); peer++) {
    RN_TRY(err,
           post_sums(err, x, true, peer, rn_row_backward(&x->pieces, x->segment, x->rank, peer)));
  }
  RN_TRY(err, rn_row_messages_receive(err, sum_messages(x)));
  for (int peer = 0; peer < ranks_of(x); peer++) {
    add_received(x, peer, rn_row_backward(&x->pieces, x->segment, peer, x->rank));
  }
  return RN_OK;
}

static rn_status row_end_sums(void *self, rn_err *err) {
  rn_row_exchange *x = self;
  if (ranks_of(x) == 1) return RN_OK;
  const bool released = rn_comm_thread_acquire(x->thread);
  rn_span_begin("wait for gradients of keys and values");
  rn_status status = x->shape.ordered ? send_sums(err, x) : exchange_sums(err, x);
  rn_span_end();
  if (released) rn_comm_thread_release(x->thread);
  return status;
}

/* ---- creation ---- */

static rn_status create_parts(rn_err *err, rn_row_exchange *x) {
  const rn_row_exchange_shape *s = &x->shape;
  const int ranks = ranks_of(x);
  const int lists = message_lists(s);
  RN_TRY(err, rn_alloc(err, "messages", (size_t)lists, sizeof *x->messages, &x->messages));
  for (int i = 0; i < lists; i++) {
    RN_TRY(err, rn_row_messages_create(err, ranks * s->sequences, &x->messages[i]));
  }
  RN_TRY(err,
         rn_alloc(err, "pieces", (size_t)(s->segments * ranks + 1), sizeof *x->bound, &x->bound));
  x->pieces.bound = x->bound;
  RN_TRY(err, rn_alloc(err, "keys and values of the sequence", rows_bytes(s), 1, &x->rows));
  RN_TRY(err, rn_alloc(err, "gradients of keys and values", sum_bytes(s), 1, &x->sums));
  return rn_alloc(err, "gradients of keys and values", received_bytes(s, ranks), 1, &x->received);
}

rn_status rn_row_exchange_create(rn_err *err, const rn_grid *grid, rn_row_exchange_shape shape,
                                 rn_row_exchange **out) {
  rn_row_exchange *x;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "exchange of keys and values", 1, sizeof *x, &x));
  *x = (rn_row_exchange){.port = {.self = x,
                                  .begin = row_begin,
                                  .poll = row_poll,
                                  .end = row_end,
                                  .begin_sums = row_begin_sums,
                                  .end_sums = row_end_sums},
                         .shape = shape,
                         .grid = grid,
                         .rank = rn_grid_sequence(grid),
                         .pieces = {.ranks = rn_grid_sequence_size(grid),
                                    .window = shape.window,
                                    .multiple = shape.multiple}};
  const rn_status status = create_parts(err, x);
  if (status != RN_OK) {
    rn_row_exchange_destroy(&x);
    return status;
  }
  *out = x;
  return RN_OK;
}

rn_status rn_row_exchange_connect(rn_err *err, rn_row_exchange *x) {
  const MPI_Comm comm = rn_grid_sequence_comm(x->grid);
  const size_t sums = (size_t)x->shape.elements * sizeof(float);
  RN_TRY(err, rn_row_messages_connect(err, &x->messages[ROWS], comm, x->shape.bytes));
  RN_TRY(err, rn_row_messages_connect(err, &x->messages[SUMS], comm, sums));
  for (int i = SUMS + 1; i < message_lists(&x->shape); i++) {
    rn_row_messages_attach(&x->messages[i], &x->messages[SUMS]);
  }
  return RN_OK;
}

void rn_row_exchange_destroy(rn_row_exchange **out) {
  rn_row_exchange *x = *out;
  bool ended = true;
  if (x == NULL) return;
  for (int i = x->messages != NULL ? message_lists(&x->shape) - 1 : -1; i >= 0; i--) {
    rn_row_messages_destroy(&x->messages[i], &ended);
  }
  if (ended) {
    free(x->messages);
    free(x->rows);
    free(x->sums);
    free(x->received);
  }
  free(x->bound);
  free(x);
  *out = NULL;
}

static rn_progress_state poll_messages(void *self) {
  const rn_row_exchange *x = self;
  int in_flight = 0;
  for (int i = 0; i < message_lists(&x->shape); i++) {
    in_flight += x->messages[i].sends + x->messages[i].receives;
  }
  if (in_flight == 0) return RN_PROGRESS_DONE;
  rn_mpi_progress(x->messages[ROWS].comm);
  return RN_PROGRESS_WAITS;
}

void rn_row_exchange_use_thread(rn_row_exchange *x, rn_comm_thread *thread) {
  if (ranks_of(x) == 1) return;
  x->thread = thread;
  if (thread != NULL) rn_comm_thread_add(thread, (rn_progress_callback){x, poll_messages});
}

void rn_row_exchange_set_unit(rn_row_exchange *x, rn_row_unit unit) {
  assert(unit.segments <= x->shape.segments && unit.segment < unit.segments);
  memcpy(x->bound, unit.bound, (size_t)(unit.segments * ranks_of(x) + 1) * sizeof *x->bound);
  x->pieces.segments = unit.segments;
  x->segment = unit.segment;
  x->microbatch = unit.microbatch;
  x->held = false;
  x->known = unit.backward && keeps(&x->shape);
}

rn_row_port *rn_row_exchange_port(rn_row_exchange *x) {
  return &x->port;
}
