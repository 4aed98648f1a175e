#include "tests/support/guarded_stage.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/decode/decode.h"
#include "model/ops/grad_accumulator.h"
#include "model/stage/layer_stack.h"
#include "proto/base/arena.h"
#include "tests/support/guarded_pages.h"

typedef struct stage {
  rn_stage base;
  rn_layer_stack *layers;
  rn_spec spec;
  rn_stage_shape shape;
  guarded_set set;
  guarded_array *weights, *gradient, *exact;
  rn_grad_accumulator accumulator;
  rn_layer_group_port port;            /* port of the caller */
  guarded_array *own, *before, *after; /* states of a scan */
  rn_scan_port *scan;                  /* port of the caller */
  rn_range states;                     /* elements of the scan in progress */
} stage;

typedef struct slot {
  rn_activations *activations;
  guarded_array *rows, *gradient; /* one array, unless the gradient is separate */
} slot;

static stage *of(rn_stage *s) {
  return (stage *)s;
}

static slot *of_slot(rn_stage_slot *s) {
  return (slot *)s;
}

static float *floats(const guarded_array *array) {
  return (float *)(void *)array->base;
}

/* ---- ports: the caller's code runs while the stage is closed ---- */

/* Polls, and completions of a scan by them, also happen within parallel work, whose other threads
 * still compute: the stage then stays open. Returns whether it was closed. */
static bool close_for_scan(stage *s) {
  if (omp_in_parallel()) return false;
  guarded_close_all(&s->set);
  return true;
}

static void open_again(stage *s, bool closed) {
  if (closed) guarded_open_all(&s->set);
}

static rn_status wait(rn_err *err, void *self, int group) {
  stage *s = self;
  guarded_close_all(&s->set);
  rn_status status = s->port.wait == NULL ? RN_OK : s->port.wait(err, s->port.self, group);
  guarded_open_all(&s->set);
  return status;
}

static void added(void *self, int group) {
  stage *s = self;
  guarded_close_all(&s->set);
  if (s->port.added != NULL) s->port.added(s->port.self, group);
  guarded_open_all(&s->set);
}

static void attach(rn_stage *base, rn_layer_group_port port) {
  stage *s = of(base);
  s->port = port;
  rn_layer_stack_attach(s->layers, (rn_layer_group_port){.self = s, .wait = wait, .added = added});
}

/* Copies `values` to the pages of an array, and opens these pages for the caller to read. */
static const float *hand_out(guarded_array *array, rn_range range, const float *values) {
  void *to = guarded_map(array, range, RN_ACCESS_WRITE);
  memcpy(to, values, (size_t)rn_range_count(range) * sizeof *values);
  guarded_unmap(array, range, RN_ACCESS_WRITE);
  return guarded_map(array, range, RN_ACCESS_READ);
}

static rn_status begin_scan(void *self, rn_err *err, rn_scan_direction direction, int layer,
                            rn_scan_element element) {
  stage *s = self;
  s->states = (rn_range){0, element.n * element.m};
  element.own = hand_out(s->own, s->states, element.own);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->begin(s->scan->self, err, direction, layer, element);
  open_again(s, closed);
  return status;
}

static void poll_scan(void *self) {
  stage *s = self;
  const bool closed = close_for_scan(s);
  s->scan->poll(s->scan->self);
  open_again(s, closed);
}

static rn_status end_scan(void *self, rn_err *err, float *before) {
  stage *s = self;
  float *in = guarded_map(s->before, s->states, RN_ACCESS_WRITE);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->end(s->scan->self, err, in);
  open_again(s, closed);
  memcpy(before, in, (size_t)s->states.end * sizeof *in);
  guarded_unmap(s->before, s->states, RN_ACCESS_WRITE);
  guarded_unmap(s->own, s->states, RN_ACCESS_READ);
  return status;
}

static rn_status publish(void *self, rn_err *err, const float *after) {
  stage *s = self;
  const float *out = hand_out(s->after, s->states, after);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->publish(s->scan->self, err, out);
  open_again(s, closed);
  guarded_unmap(s->after, s->states, RN_ACCESS_READ);
  return status;
}

static bool test_scan(void *self) {
  stage *s = self;
  const bool closed = close_for_scan(s);
  const bool done = s->scan->test(s->scan->self);
  open_again(s, closed);
  return done;
}

/* The port that the layers use in place of `scan`. */
static rn_scan_port port_for(stage *s, rn_scan_port *scan) {
  s->scan = scan;
  return (rn_scan_port){.self = s,
                        .hops = scan->hops,
                        .begin = begin_scan,
                        .poll = poll_scan,
                        .end = end_scan,
                        .publish = scan->publish != NULL ? publish : NULL,
                        .test = scan->test != NULL ? test_scan : NULL};
}

/* ---- creation ---- */

static void destroy(rn_stage *base) {
  stage *s = of(base);
  rn_layer_stack_destroy(&s->layers);
  guarded_remove(&s->set, &s->weights);
  guarded_remove(&s->set, &s->gradient);
  guarded_remove(&s->set, &s->exact);
  guarded_remove(&s->set, &s->own);
  guarded_remove(&s->set, &s->before);
  guarded_remove(&s->set, &s->after);
  free(s);
}

static guarded_array *add_states(stage *s, const char *name) {
  const int64_t count =
      (int64_t)s->shape.max_sequences * s->spec.dim * rn_spec_value_width(&s->spec);
  guarded_array *array = guarded_add(&s->set, name, count, sizeof(float));
  array->private_to_mappings = true;
  return array;
}

static rn_status create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out) {
  stage *s;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "stage", 1, sizeof *s, &s));
  s->spec = *spec;
  s->shape = shape;
  rn_status status = rn_layer_stack_create(err, spec, shape, &s->layers);
  if (status != RN_OK) {
    free(s);
    return status;
  }
  s->base = (rn_stage){&guarded_stage, rn_layer_stack_table(s->layers)};
  s->weights = guarded_add(&s->set, "weights", s->base.table->total, sizeof(float));
  s->own = add_states(s, "own state");
  s->before = add_states(s, "state before the segment");
  s->after = add_states(s, "state after the segment");
  *out = &s->base;
  return RN_OK;
}

static rn_status measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                         rn_stage_sizes *out) {
  return rn_layer_stack_measure(err, spec, shape, out);
}

static size_t derived_bytes(const rn_stage *base) {
  (void)base;
  return 0;
}

static bool adopt_weights(rn_stage *base, rn_weights_memory memory) {
  (void)base;
  (void)memory;
  return false;
}

static bool adopt_gradient(rn_stage *base, void *memory) {
  (void)base;
  (void)memory;
  return false;
}

static rn_status create_gradient(rn_err *err, rn_stage *base, rn_gradient_kind kind,
                                 int64_t reduction_blocks) {
  stage *s = of(base);
  rn_grad_accumulator *a = &s->accumulator;
  (void)err;
  a->total = base->table->total;
  a->reduction_blocks = reduction_blocks;
  if (kind == RN_GRADIENT_EXACT) {
    s->exact = guarded_add(&s->set, "exact gradient", a->total, sizeof(int64_t));
    a->exact = (int64_t *)(void *)s->exact->base;
  } else {
    s->gradient = guarded_add(&s->set, "gradient", a->total, sizeof(float));
    a->gradient = floats(s->gradient);
  }
  return RN_OK;
}

static void slot_destroy(rn_stage *base, rn_stage_slot *handle) {
  slot *t = of_slot(handle);
  if (t->gradient != t->rows) guarded_remove(&of(base)->set, &t->gradient);
  guarded_remove(&of(base)->set, &t->rows);
  rn_activations_destroy(&t->activations);
  free(t);
}

static rn_status slot_create(rn_err *err, rn_stage *base, rn_stage_slot_shape shape,
                             rn_stage_slot **out) {
  stage *s = of(base);
  slot *t;
  const int64_t elements = (int64_t)s->shape.max_sequences * s->shape.max_tokens * s->spec.dim;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "slot", 1, sizeof *t, &t));
  t->rows = t->gradient = guarded_add(&s->set, "rows", elements, sizeof(float));
  if (shape.separate_gradient) {
    t->gradient = guarded_add(&s->set, "gradient of rows", elements, sizeof(float));
  }
  rn_status status =
      shape.reuse != NULL
          ? rn_activations_create_alias(err, of_slot(shape.reuse)->activations, &t->activations)
          : rn_activations_create(err, s->layers, shape.save, &t->activations);
  if (status != RN_OK) {
    slot_destroy(base, (rn_stage_slot *)t);
    return status;
  }
  *out = (rn_stage_slot *)t;
  return RN_OK;
}

/* ---- map and unmap ---- */

static guarded_array *array_of(stage *s, rn_stage_region region) {
  switch (region.array) {
    case RN_STAGE_WEIGHTS:
      return s->weights;
    case RN_STAGE_GRADIENT:
      return s->gradient;
    case RN_STAGE_EXACT_GRADIENT:
      return s->exact;
    case RN_STAGE_ROWS:
      return of_slot(region.slot)->rows;
    default:
      return of_slot(region.slot)->gradient;
  }
}

static rn_status map(rn_err *err, rn_stage *base, rn_stage_region region, rn_access access,
                     void **out) {
  (void)err;
  *out = guarded_map(array_of(of(base), region), region.range, access);
  return RN_OK;
}

static rn_status unmap(rn_err *err, rn_stage *base, rn_stage_region region, rn_access access) {
  stage *s = of(base);
  (void)err;
  guarded_unmap(array_of(s, region), region.range, access);
  if (region.array != RN_STAGE_WEIGHTS || access == RN_ACCESS_READ) return RN_OK;
  const bool open = s->weights->open;
  guarded_open_all(&s->set);
  rn_layer_stack_cast_weights(s->layers, floats(s->weights), region.range);
  if (!open) guarded_close_all(&s->set);
  return RN_OK;
}

/* ---- the tasks of a unit ---- */

static rn_status start_gradient(rn_err *err, rn_stage *base) {
  stage *s = of(base);
  (void)err;
  guarded_open_all(&s->set);
  rn_grad_accumulator_start(&s->accumulator);
  guarded_close_all(&s->set);
  return RN_OK;
}

static bool gradient_overflowed(const rn_stage *base) {
  return ((const stage *)base)->accumulator.overflowed;
}

static rn_pass with_memory(stage *s, rn_stage_slot *handle, const rn_pass *pass) {
  rn_pass whole = *pass;
  whole.params = floats(s->weights);
  whole.activations = of_slot(handle)->activations;
  whole.accumulator = &s->accumulator;
  return whole;
}

static rn_status forward(rn_err *err, rn_stage *base, rn_stage_slot *handle, const rn_pass *pass) {
  stage *s = of(base);
  rn_pass whole = with_memory(s, handle, pass);
  rn_scan_port port = port_for(s, pass->port);
  float *rows = floats(of_slot(handle)->rows);
  whole.port = &port;
  guarded_open_all(&s->set);
  rn_status status = rn_layer_stack_forward(err, s->layers, &whole, rows, rows);
  guarded_close_all(&s->set);
  return status;
}

static rn_status loss(rn_err *err, rn_stage *base, rn_stage_slot *handle, rn_unit_loss *unit_loss) {
  stage *s = of(base);
  const rn_unit *unit = unit_loss->unit;
  const int64_t first = unit_loss->first_row * s->spec.dim;
  const rn_pass pass = with_memory(s, handle, &(rn_pass){.unit = unit});
  rn_loss rows = {.rows = (int64_t)unit->sequences * unit->tokens,
                  .y = floats(of_slot(handle)->rows) + first,
                  .target = unit->target,
                  .scale = unit_loss->scale,
                  .token_loss = unit_loss->token_loss,
                  .dy = unit_loss->gradient ? floats(of_slot(handle)->gradient) + first : NULL};
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_loss(s->layers, &pass, &rows);
  guarded_close_all(&s->set);
  unit_loss->sum = rows.sum;
  return RN_OK;
}

static rn_status logits(rn_err *err, rn_stage *base, rn_stage_slot *handle, rn_range rows,
                        float *out) {
  stage *s = of(base);
  const float *y = floats(of_slot(handle)->rows) + rows.begin * s->spec.dim;
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_logits(s->layers, floats(s->weights), (int)rn_range_count(rows), y, out);
  guarded_close_all(&s->set);
  return RN_OK;
}

static rn_status backward_input(rn_err *err, rn_stage *base, rn_stage_slot *handle,
                                const rn_pass *pass) {
  stage *s = of(base);
  rn_pass whole = with_memory(s, handle, pass);
  rn_scan_port port = port_for(s, pass->port);
  float *gradient = floats(of_slot(handle)->gradient);
  whole.port = &port;
  guarded_open_all(&s->set);
  rn_status status = rn_layer_stack_backward_input(err, s->layers, &whole, gradient, gradient);
  guarded_close_all(&s->set);
  return status;
}

static rn_status backward_weight(rn_err *err, rn_stage *base, rn_stage_slot *handle,
                                 const rn_pass *pass) {
  stage *s = of(base);
  const rn_pass whole = with_memory(s, handle, pass);
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_backward_weight(s->layers, &whole);
  guarded_close_all(&s->set);
  return RN_OK;
}

/* The condition of the caller, which is called while the stage is closed, unless other threads
 * compute. */
typedef struct closed_until {
  stage *stage;
  rn_stage_until until;
} closed_until;

static bool reached(void *self) {
  closed_until *c = self;
  const bool closed = close_for_scan(c->stage);
  const bool is_reached = c->until.reached(c->until.self);
  open_again(c->stage, closed);
  return is_reached;
}

static rn_status run_waiting_weights(rn_err *err, rn_stage *base, rn_stage_until until) {
  closed_until c = {of(base), until};
  (void)err;
  guarded_open_all(&c.stage->set);
  rn_layer_stack_run_waiting_weights(c.stage->layers, (rn_weight_queue_until){&c, reached});
  guarded_close_all(&c.stage->set);
  return RN_OK;
}

/* ---- decoding ---- */

typedef struct decoder {
  rn_decoder *on_cpu;
  guarded_array *states; /* [layers, sequences, H K V] states before the next token */
  int sequences;
} decoder;

static decoder *of_decoder(rn_stage_decoder *d) {
  return (decoder *)d;
}

static int64_t state_elements(const stage *s) {
  return (int64_t)s->spec.dim * rn_spec_value_width(&s->spec);
}

static void decoder_destroy(rn_stage *base, rn_stage_decoder *handle) {
  decoder *d = of_decoder(handle);
  guarded_remove(&of(base)->set, &d->states);
  rn_decoder_destroy(&d->on_cpu);
  free(d);
}

static rn_status decoder_create(rn_err *err, rn_stage *base, int sequences, bool bf16,
                                rn_stage_decoder **out) {
  stage *s = of(base);
  decoder *d;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  rn_status status = rn_decoder_create(err, &s->spec, sequences, bf16, &d->on_cpu);
  if (status != RN_OK) {
    free(d);
    return status;
  }
  d->sequences = sequences;
  d->states = guarded_add(&s->set, "states of the decoder",
                          s->spec.layers * sequences * state_elements(s), sizeof(float));
  *out = (rn_stage_decoder *)d;
  if (!bf16) return RN_OK;
  guarded_open_all(&s->set);
  rn_decoder_cast_weights(d->on_cpu, floats(s->weights));
  rn_layer_stack_cast_weights(s->layers, floats(s->weights), (rn_range){0, base->table->total});
  guarded_close_all(&s->set);
  return RN_OK;
}

/* Moves the states of a sequence to or from the CPU decoder. Between two steps they are in the
 * guarded pages. */
static void move_states(stage *s, decoder *d, int sequence, bool to_cpu) {
  const int64_t each = state_elements(s);
  for (int layer = 0; layer < s->spec.layers; layer++) {
    float *on_cpu = rn_decoder_state(d->on_cpu, sequence, layer);
    float *guarded = floats(d->states) + ((int64_t)layer * d->sequences + sequence) * each;
    memcpy(to_cpu ? on_cpu : guarded, to_cpu ? guarded : on_cpu, (size_t)each * sizeof(float));
    if (!to_cpu) memset(on_cpu, 0xff, (size_t)each * sizeof(float));
  }
}

static rn_status decoder_write_state(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                                     int sequence, int layer, const float *state) {
  stage *s = of(base);
  decoder *d = of_decoder(handle);
  const int64_t each = state_elements(s);
  (void)err;
  guarded_open_all(&s->set);
  memcpy(floats(d->states) + ((int64_t)layer * d->sequences + sequence) * each, state,
         (size_t)each * sizeof *state);
  guarded_close_all(&s->set);
  return RN_OK;
}

static void decoder_set_position(rn_stage *base, rn_stage_decoder *handle, int sequence,
                                 int64_t position) {
  (void)base;
  rn_decoder_position_of(of_decoder(handle)->on_cpu, sequence, position);
}

static rn_status decoder_step(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                              rn_decoder_tokens tokens) {
  stage *s = of(base);
  decoder *d = of_decoder(handle);
  (void)err;
  guarded_open_all(&s->set);
  for (int i = 0; i < tokens.count; i++) move_states(s, d, tokens.sequence[i], true);
  rn_decoder_step(d->on_cpu, floats(s->weights), tokens.count, tokens.sequence, tokens.token,
                  tokens.logits);
  for (int i = 0; i < tokens.count; i++) move_states(s, d, tokens.sequence[i], false);
  guarded_close_all(&s->set);
  return RN_OK;
}

const rn_stage_ops guarded_stage = {.name = "guarded",
                                    .create = create,
                                    .destroy = destroy,
                                    .measure = measure,
                                    .derived_bytes = derived_bytes,
                                    .adopt_weights = adopt_weights,
                                    .adopt_gradient = adopt_gradient,
                                    .create_gradient = create_gradient,
                                    .slot_create = slot_create,
                                    .slot_destroy = slot_destroy,
                                    .attach = attach,
                                    .map = map,
                                    .unmap = unmap,
                                    .start_gradient = start_gradient,
                                    .gradient_overflowed = gradient_overflowed,
                                    .forward = forward,
                                    .loss = loss,
                                    .logits = logits,
                                    .backward_input = backward_input,
                                    .backward_weight = backward_weight,
                                    .run_waiting_weights = run_waiting_weights,
                                    .decoder_create = decoder_create,
                                    .decoder_destroy = decoder_destroy,
                                    .decoder_write_state = decoder_write_state,
                                    .decoder_set_position = decoder_set_position,
                                    .decoder_step = decoder_step};
