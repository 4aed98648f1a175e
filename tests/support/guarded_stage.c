#include "tests/support/guarded_stage.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "tests/support/guarded_decoder.h"
#include "tests/support/guarded_ports.h"

typedef struct slot {
  rn_activations *activations;
  guarded_array *rows, *gradient; /* the same array, unless the gradient has separate memory */
} slot;

static slot *of_slot(rn_stage_slot *s) {
  return (slot *)s;
}

rn_activations *guarded_slot_activations(rn_stage_slot *handle) {
  return of_slot(handle)->activations;
}

/* ---- creation ---- */

static void destroy(rn_stage *base) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  rn_layer_stack_destroy(&s->layers);
  guarded_remove(&s->set, &s->weights);
  guarded_remove(&s->set, &s->gradient);
  guarded_remove(&s->set, &s->exact);
  guarded_remove(&s->set, &s->own);
  guarded_remove(&s->set, &s->before);
  guarded_remove(&s->set, &s->after);
  free(s);
}

static guarded_array *add_states(guarded_cpu_stage *s, const char *name) {
  const int64_t count =
      (int64_t)s->shape.max_sequences * s->spec.dim * rn_spec_value_width(&s->spec);
  guarded_array *array = guarded_add(&s->set, name, count, sizeof(float));
  array->private_to_mappings = true;
  return array;
}

static rn_status create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out) {
  guarded_cpu_stage *s;
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
  guarded_cpu_stage *s = guarded_stage_of(base);
  rn_grad_accumulator *a = &s->accumulator;
  (void)err;
  a->total = base->table->total;
  a->reduction_blocks = reduction_blocks;
  if (kind == RN_GRADIENT_EXACT) {
    s->exact = guarded_add(&s->set, "exact gradient", a->total, sizeof(int64_t));
    a->exact = (int64_t *)(void *)s->exact->base;
  } else {
    s->gradient = guarded_add(&s->set, "gradient", a->total, sizeof(float));
    a->gradient = guarded_floats(s->gradient);
  }
  return RN_OK;
}

static void slot_destroy(rn_stage *base, rn_stage_slot *handle) {
  slot *t = of_slot(handle);
  if (t->gradient != t->rows) guarded_remove(&guarded_stage_of(base)->set, &t->gradient);
  guarded_remove(&guarded_stage_of(base)->set, &t->rows);
  rn_activations_destroy(&t->activations);
  free(t);
}

static rn_status slot_create(rn_err *err, rn_stage *base, rn_stage_slot_shape shape,
                             rn_stage_slot **out) {
  guarded_cpu_stage *s = guarded_stage_of(base);
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

static guarded_array *array_of(guarded_cpu_stage *s, rn_stage_region region) {
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
  *out = guarded_map(array_of(guarded_stage_of(base), region), region.range, access);
  return RN_OK;
}

static rn_status unmap(rn_err *err, rn_stage *base, rn_stage_region region, rn_access access) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  (void)err;
  guarded_unmap(array_of(s, region), region.range, access);
  if (region.array != RN_STAGE_WEIGHTS || access == RN_ACCESS_READ) return RN_OK;
  const bool open = s->weights->open;
  guarded_open_all(&s->set);
  rn_layer_stack_cast_weights(s->layers, guarded_floats(s->weights), region.range);
  if (!open) guarded_close_all(&s->set);
  return RN_OK;
}

/* ---- the tasks of a unit ---- */

static rn_status start_gradient(rn_err *err, rn_stage *base) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  (void)err;
  guarded_open_all(&s->set);
  rn_grad_accumulator_start(&s->accumulator);
  guarded_close_all(&s->set);
  return RN_OK;
}

static bool gradient_overflowed(const rn_stage *base) {
  return ((const guarded_cpu_stage *)base)->accumulator.overflowed;
}

static rn_pass with_memory(guarded_cpu_stage *s, rn_stage_slot *handle, const rn_pass *pass) {
  rn_pass whole = *pass;
  whole.params = guarded_floats(s->weights);
  whole.activations = of_slot(handle)->activations;
  whole.accumulator = &s->accumulator;
  return whole;
}

static rn_status forward(rn_err *err, rn_stage *base, rn_stage_slot *handle, const rn_pass *pass) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  rn_pass whole = with_memory(s, handle, pass);
  rn_scan_port port = guarded_scan_port(s, pass->port);
  float *rows = guarded_floats(of_slot(handle)->rows);
  whole.port = &port;
  guarded_open_all(&s->set);
  rn_status status = rn_layer_stack_forward(err, s->layers, &whole, rows, rows);
  guarded_close_all(&s->set);
  return status;
}

static rn_status loss(rn_err *err, rn_stage *base, rn_stage_slot *handle, rn_unit_loss *unit_loss) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  const rn_unit *unit = unit_loss->unit;
  const int64_t first = unit_loss->first_row * s->spec.dim;
  const rn_pass pass = with_memory(s, handle, &(rn_pass){.unit = unit});
  rn_loss rows = {
      .rows = (int64_t)unit->sequences * unit->tokens,
      .y = guarded_floats(of_slot(handle)->rows) + first,
      .target = unit->target,
      .scale = unit_loss->scale,
      .token_loss = unit_loss->token_loss,
      .dy = unit_loss->gradient ? guarded_floats(of_slot(handle)->gradient) + first : NULL};
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_loss(s->layers, &pass, &rows);
  guarded_close_all(&s->set);
  unit_loss->sum = rows.sum;
  return RN_OK;
}

static rn_status logits(rn_err *err, rn_stage *base, rn_stage_slot *handle, rn_range rows,
                        float *out) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  const float *y = guarded_floats(of_slot(handle)->rows) + rows.begin * s->spec.dim;
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_logits(s->layers, guarded_floats(s->weights), (int)rn_range_count(rows), y, out);
  guarded_close_all(&s->set);
  return RN_OK;
}

static rn_status backward_input(rn_err *err, rn_stage *base, rn_stage_slot *handle,
                                const rn_pass *pass) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  rn_pass whole = with_memory(s, handle, pass);
  rn_scan_port port = guarded_scan_port(s, pass->port);
  float *gradient = guarded_floats(of_slot(handle)->gradient);
  whole.port = &port;
  guarded_open_all(&s->set);
  rn_status status = rn_layer_stack_backward_input(err, s->layers, &whole, gradient, gradient);
  guarded_close_all(&s->set);
  return status;
}

static rn_status backward_weight(rn_err *err, rn_stage *base, rn_stage_slot *handle,
                                 const rn_pass *pass) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  const rn_pass whole = with_memory(s, handle, pass);
  (void)err;
  guarded_open_all(&s->set);
  rn_layer_stack_backward_weight(s->layers, &whole);
  guarded_close_all(&s->set);
  return RN_OK;
}

static rn_status run_waiting_weights(rn_err *err, rn_stage *base, rn_stage_until until) {
  guarded_until c = {guarded_stage_of(base), until};
  (void)err;
  guarded_open_all(&c.stage->set);
  rn_layer_stack_run_waiting_weights(c.stage->layers,
                                     (rn_weight_queue_until){&c, guarded_until_reached});
  guarded_close_all(&c.stage->set);
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
                                    .attach = guarded_attach,
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
                                    .decoder_create = guarded_decoder_create,
                                    .decoder_destroy = guarded_decoder_destroy,
                                    .decoder_reset = guarded_decoder_reset,
                                    .decoder_prefill = guarded_decoder_prefill,
                                    .decoder_saved_bytes = guarded_decoder_saved_bytes,
                                    .decoder_save = guarded_decoder_save,
                                    .decoder_load = guarded_decoder_load,
                                    .decoder_step = guarded_decoder_step};
