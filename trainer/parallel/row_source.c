#include "trainer/parallel/row_source.h"

#include <stdlib.h>

#include "model/stage/stage.h"
#include "proto/base/arena.h"

static int pieces_of(const rn_layout *layout) {
  return layout->sequence * layout->segments;
}

/* Returns true if units do not hold whole sequences and the stage has attention layers. */
static bool is_needed(const rn_spec *spec, const rn_row_source_shape *shape) {
  return pieces_of(&shape->layout) > 1 &&
         rn_spec_attention_layers(spec, (int)shape->layers.begin, (int)shape->layers.end) > 0;
}

static rn_row_exchange_shape exchange_shape(const rn_spec *spec, const rn_row_source_shape *s) {
  const bool ordered = s->layout.reduction_block > 0;
  const rn_stage_row_size row = rn_stage_measure_rows(spec);
  return (rn_row_exchange_shape){
      .sequences = s->sequences,
      .tokens = s->tokens,
      .own_tokens = rn_range_count(rn_layout_piece(&s->layout, s->tokens, 0)),
      .layers = rn_spec_attention_layers(spec, (int)s->layers.begin, (int)s->layers.end),
      .segments = s->layout.segments,
      .microbatches = s->microbatches,
      .window = spec->attention_window,
      .backward = s->backward,
      .ordered = ordered,
      .multiple = ordered ? RN_SPEC_KEY_BLOCK : 1,
      .elements = row.elements,
      .bytes = row.bytes};
}

size_t rn_row_source_bytes(const rn_spec *spec, rn_row_source_shape shape) {
  if (!is_needed(spec, &shape)) return 0;
  return rn_row_exchange_bytes(exchange_shape(spec, &shape), shape.layout.sequence);
}

/* ---- bytes of messages ---- */

static void find_bounds(const rn_layout *layout, int64_t length, int64_t *bound) {
  const int pieces = pieces_of(layout);
  for (int i = 0; i < pieces; i++) bound[i] = rn_layout_piece(layout, length, i).begin;
  bound[pieces] = length;
}

static double count(rn_range rows) {
  return rows.begin < rows.end ? (double)rn_range_count(rows) : 0;
}

/* Returns the number of rows that `rank` sends and receives, in all segments. */
static double rows_of(const rn_row_pieces *p, int rank,
                      rn_range (*rows)(const rn_row_pieces *, int segment, int from, int to)) {
  double sum = 0;
  for (int segment = 0; segment < p->segments; segment++) {
    for (int other = 0; other < p->ranks; other++) {
      sum += count(rows(p, segment, rank, other)) + count(rows(p, segment, other, rank));
    }
  }
  return sum;
}

/* Returns the number of rows of gradient sums that a rank sends and receives in ordered mode. The
 * sums then pass from each piece of a sequence to the previous piece; a message contains the rows
 * of all earlier positions that the queries of the sending piece may see. */
static double ordered_sums_of(const rn_row_pieces *p, int rank) {
  double sum = 0;
  for (int piece = 1; p->ranks > 1 && piece < p->segments * p->ranks; piece++) {
    const int sender = piece % p->ranks, receiver = (piece - 1) % p->ranks;
    const int64_t first = rn_row_reach(p, piece / p->ranks, sender).begin;
    if (sender == rank || receiver == rank) sum += count((rn_range){first, p->bound[piece]});
  }
  return sum;
}

/* Returns the number of bytes that a rank sends and receives for one sequence. With one segment,
 * backward exchanges keys and values a second time. */
static double traffic_of(const rn_row_exchange_shape *s, const rn_row_pieces *p, int rank) {
  const double rows = (p->segments == 1 ? 2 : 1) * rows_of(p, rank, rn_row_forward);
  const double sums = s->ordered ? ordered_sums_of(p, rank) : rows_of(p, rank, rn_row_backward);
  return s->layers * (rows * (double)s->bytes + sums * (double)s->elements * (double)sizeof(float));
}

rn_status rn_row_source_traffic(rn_err *err, const rn_spec *spec, rn_row_source_shape shape,
                                double *bytes) {
  int64_t *bound = NULL;
  *bytes = 0;
  if (!is_needed(spec, &shape)) return RN_OK;
  RN_TRY(err, rn_alloc(err, "pieces", (size_t)pieces_of(&shape.layout) + 1, sizeof *bound, &bound));
  find_bounds(&shape.layout, shape.tokens, bound);
  const rn_row_exchange_shape exchange = exchange_shape(spec, &shape);
  const rn_row_pieces pieces = {bound, shape.layout.sequence, shape.layout.segments,
                                exchange.window, exchange.multiple};
  const double first = traffic_of(&exchange, &pieces, 0);
  const double last = traffic_of(&exchange, &pieces, shape.layout.sequence - 1);
  *bytes = first > last ? first : last;
  free(bound);
  return RN_OK;
}

/* ---- exchange ---- */

static rn_status create_exchange(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                 rn_row_source_shape shape, rn_row_source *out) {
  RN_TRY(err, rn_alloc(err, "pieces", (size_t)pieces_of(&shape.layout) + 1, sizeof *out->bound,
                       &out->bound));
  return rn_row_exchange_create(err, grid, exchange_shape(spec, &shape), &out->exchange);
}

rn_status rn_row_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                               rn_row_source_shape shape, rn_row_source *out) {
  *out = (rn_row_source){.layout = shape.layout, .tokens = shape.tokens};
  const bool needed = is_needed(spec, &shape);
  RN_TRY(err,
         rn_grid_agree(err, grid, needed ? create_exchange(err, grid, spec, shape, out) : RN_OK));
  return needed ? rn_row_exchange_connect(err, out->exchange) : RN_OK;
}

void rn_row_source_destroy(rn_row_source *source) {
  rn_row_exchange_destroy(&source->exchange);
  free(source->bound);
  *source = (rn_row_source){0};
}

void rn_row_source_use_thread(rn_row_source *source, rn_comm_thread *thread) {
  if (source->exchange != NULL) rn_row_exchange_use_thread(source->exchange, thread);
}

rn_row_port *rn_row_source_port(rn_row_source *source, rn_row_source_unit unit) {
  if (source->exchange == NULL) return NULL;
  find_bounds(&source->layout, unit.length, source->bound);
  rn_row_exchange_set_unit(source->exchange,
                           (rn_row_unit){unit.microbatch, unit.segment, source->layout.segments,
                                         unit.backward, source->bound});
  return rn_row_exchange_port(source->exchange);
}
