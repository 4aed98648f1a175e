/*
 * The CPU backend of a stage is a stack of layers in host memory. rn_stage_map returns an address
 * and copies nothing. The weights are always in memory of the caller.
 */
#include <stdlib.h>
#include <string.h>

#include "model/ops/grad_accumulator.h"
#include "model/stage/cpu_stage.h"
#include "model/stage/layer_stack.h"
#include "model/stage/stage.h"
#include "proto/base/arena.h"

static rn_cpu_stage *of(rn_stage *stage) {
  return rn_cpu_stage_of(stage);
}

static const rn_cpu_stage *of_const(const rn_stage *stage) {
  return (const rn_cpu_stage *)stage;
}

static rn_cpu_slot *of_slot(rn_stage_slot *slot) {
  return rn_cpu_slot_of(slot);
}

/* ---- creation ---- */

static void destroy(rn_stage *stage) {
  rn_cpu_stage *s = of(stage);
  rn_layer_stack_destroy(&s->layers);
  if (s->gradient == NULL) {
    free(s->accumulator.gradient);
    free(s->accumulator.exact);
  }
  free(s);
}

static rn_status create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out) {
  *out = NULL;
  rn_cpu_stage *s;
  RN_TRY(err, rn_alloc(err, "stage", 1, sizeof *s, &s));
  s->spec = *spec;
  s->max_tokens = shape.max_tokens;
  s->slot_elements = (size_t)shape.max_sequences * (size_t)shape.max_tokens * (size_t)spec->dim;
  rn_status status = rn_layer_stack_create(err, spec, shape, &s->layers);
  if (status != RN_OK) {
    destroy(&s->base);
    return status;
  }
  s->base = (rn_stage){&rn_stage_cpu, rn_layer_stack_table(s->layers)};
  *out = &s->base;
  return RN_OK;
}

static rn_status measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                         rn_stage_sizes *out) {
  return rn_layer_stack_measure(err, spec, shape, out);
}

static size_t derived_bytes(const rn_stage *stage) {
  return rn_layer_stack_bf16_shadow_bytes(of_const(stage)->layers);
}

static bool adopt_weights(rn_stage *stage, rn_weights_memory memory) {
  rn_cpu_stage *s = of(stage);
  s->weights = memory.weights;
  if (memory.derived != NULL) rn_layer_stack_use_bf16_shadow(s->layers, memory.derived);
  return true;
}

static bool adopt_gradient(rn_stage *stage, void *memory) {
  of(stage)->gradient = memory;
  return true;
}

static rn_status create_gradient(rn_err *err, rn_stage *stage, rn_gradient_kind kind,
                                 int64_t reduction_blocks) {
  rn_grad_accumulator *a = &of(stage)->accumulator;
  const size_t total = (size_t)stage->table->total;
  a->total = stage->table->total;
  a->reduction_blocks = reduction_blocks;
  if (of(stage)->gradient != NULL) {
    if (kind == RN_GRADIENT_EXACT) a->exact = of(stage)->gradient;
    if (kind == RN_GRADIENT_FLOAT) a->gradient = of(stage)->gradient;
    return RN_OK;
  }
  if (kind == RN_GRADIENT_EXACT) {
    return rn_alloc(err, "exact gradients", total, sizeof *a->exact, &a->exact);
  }
  return rn_alloc(err, "gradients", total, sizeof *a->gradient, &a->gradient);
}

static void slot_destroy(rn_stage *stage, rn_stage_slot *slot) {
  rn_cpu_slot *s = of_slot(slot);
  (void)stage;
  if (s->activations != NULL && s->gradient != rn_activations_rows(s->activations)) {
    free(s->gradient);
  }
  rn_activations_destroy(&s->activations);
  free(s);
}

static rn_status take_slot(rn_err *err, rn_cpu_stage *s, rn_stage_slot_shape shape,
                           rn_cpu_slot *slot) {
  if (shape.reuse != NULL) {
    RN_TRY(err,
           rn_activations_create_alias(err, of_slot(shape.reuse)->activations, &slot->activations));
  } else {
    RN_TRY(err, rn_activations_create(err, s->layers, shape.save, &slot->activations));
  }
  slot->gradient = rn_activations_rows(slot->activations);
  if (!shape.separate_gradient) return RN_OK;
  return rn_alloc(err, "row gradients", s->slot_elements, sizeof(float), &slot->gradient);
}

static rn_status slot_create(rn_err *err, rn_stage *stage, rn_stage_slot_shape shape,
                             rn_stage_slot **out) {
  *out = NULL;
  rn_cpu_slot *slot;
  RN_TRY(err, rn_alloc(err, "slot", 1, sizeof *slot, &slot));
  rn_status status = take_slot(err, of(stage), shape, slot);
  if (status != RN_OK) {
    slot_destroy(stage, (rn_stage_slot *)slot);
    return status;
  }
  *out = (rn_stage_slot *)slot;
  return RN_OK;
}

static void attach(rn_stage *stage, rn_layer_group_port port) {
  rn_layer_stack_attach(of(stage)->layers, port);
}

/* ---- map and unmap ---- */

static rn_status map(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access,
                     void **out) {
  rn_cpu_stage *s = of(stage);
  const int64_t first = region.range.begin;
  (void)err;
  (void)access;
  switch (region.array) {
    case RN_STAGE_WEIGHTS:
      *out = s->weights + first;
      break;
    case RN_STAGE_GRADIENT:
      *out = s->accumulator.gradient + first;
      break;
    case RN_STAGE_EXACT_GRADIENT:
      *out = s->accumulator.exact + first;
      break;
    case RN_STAGE_ROWS:
      *out = rn_activations_rows(of_slot(region.slot)->activations) + first;
      break;
    case RN_STAGE_ROWS_GRADIENT:
      *out = of_slot(region.slot)->gradient + first;
      break;
  }
  return RN_OK;
}

static rn_status unmap(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access) {
  (void)err;
  if (region.array == RN_STAGE_WEIGHTS && access != RN_ACCESS_READ) {
    rn_layer_stack_cast_weights(of(stage)->layers, of(stage)->weights, region.range);
  }
  return RN_OK;
}

/* ---- the tasks of a unit ---- */

static rn_status start_gradient(rn_err *err, rn_stage *stage) {
  (void)err;
  rn_grad_accumulator_start(&of(stage)->accumulator);
  return RN_OK;
}

static bool gradient_overflowed(const rn_stage *stage) {
  return of_const(stage)->accumulator.overflowed;
}

/* Returns a copy of the caller's pass in which the fields that point to memory of the stage or of
 * the slot are set. */
static rn_pass with_memory(rn_cpu_stage *s, rn_stage_slot *slot, const rn_pass *pass) {
  rn_pass whole = *pass;
  whole.params = s->weights;
  whole.activations = of_slot(slot)->activations;
  whole.accumulator = &s->accumulator;
  return whole;
}

static rn_status forward(rn_err *err, rn_stage *stage, rn_stage_slot *slot, const rn_pass *pass) {
  const rn_pass whole = with_memory(of(stage), slot, pass);
  float *rows = rn_activations_rows(whole.activations);
  return rn_layer_stack_forward(err, of(stage)->layers, &whole, rows, rows);
}

static rn_status loss(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_unit_loss *unit_loss) {
  rn_cpu_stage *s = of(stage);
  const rn_unit *unit = unit_loss->unit;
  const int64_t first = unit_loss->first_row * s->spec.dim;
  const rn_pass pass = with_memory(s, slot, &(rn_pass){.unit = unit});
  rn_loss rows = {.rows = (int64_t)unit->sequences * unit->tokens,
                  .y = rn_activations_rows(pass.activations) + first,
                  .target = unit->target,
                  .scale = unit_loss->scale,
                  .token_loss = unit_loss->token_loss,
                  .dy = unit_loss->gradient ? of_slot(slot)->gradient + first : NULL};
  (void)err;
  rn_layer_stack_loss(s->layers, &pass, &rows);
  unit_loss->sum = rows.sum;
  return RN_OK;
}

static rn_status logits(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_range rows,
                        float *out) {
  rn_cpu_stage *s = of(stage);
  const float *y = rn_activations_rows(of_slot(slot)->activations) + rows.begin * s->spec.dim;
  (void)err;
  rn_layer_stack_logits(s->layers, s->weights, (int)rn_range_count(rows), y, out);
  return RN_OK;
}

static rn_status backward_input(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                const rn_pass *pass) {
  const rn_pass whole = with_memory(of(stage), slot, pass);
  float *gradient = of_slot(slot)->gradient;
  return rn_layer_stack_backward_input(err, of(stage)->layers, &whole, gradient, gradient);
}

static rn_status backward_weight(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                 const rn_pass *pass) {
  const rn_pass whole = with_memory(of(stage), slot, pass);
  (void)err;
  rn_layer_stack_backward_weight(of(stage)->layers, &whole);
  return RN_OK;
}

static rn_status run_waiting_weights(rn_err *err, rn_stage *stage, rn_stage_until until) {
  (void)err;
  rn_layer_stack_run_waiting_weights(of(stage)->layers,
                                     (rn_weight_queue_until){until.self, until.reached});
  return RN_OK;
}

const rn_stage_ops rn_stage_cpu = {.name = "cpu",
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
                                   .decoder_create = rn_cpu_decoder_create,
                                   .decoder_destroy = rn_cpu_decoder_destroy,
                                   .decoder_reset = rn_cpu_decoder_reset,
                                   .decoder_prefill = rn_cpu_decoder_prefill,
                                   .decoder_saved_bytes = rn_cpu_decoder_saved_bytes,
                                   .decoder_save = rn_cpu_decoder_save,
                                   .decoder_load = rn_cpu_decoder_load,
                                   .decoder_step = rn_cpu_decoder_step};
