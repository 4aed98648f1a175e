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
  const int pieces = pieces_of(&source->layout);
  if (source->exchange == NULL) return NULL;
  for (int i = 0; i < pieces; i++) {
    source->bound[i] = rn_layout_piece(&source->layout, unit.length, i).begin;
  }
  source->bound[pieces] = unit.length;
  rn_row_exchange_set_unit(source->exchange,
                           (rn_row_unit){unit.microbatch, unit.segment, source->layout.segments,
                                         unit.backward, source->bound});
  return rn_row_exchange_port(source->exchange);
}
