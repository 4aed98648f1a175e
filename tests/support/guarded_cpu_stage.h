/**
 * Defines the guarded stage and its protected arrays, for the source files that implement it
 * (tests/support/guarded_stage.h).
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_CPU_STAGE_H
#define RN_TESTS_SUPPORT_GUARDED_CPU_STAGE_H

#include "model/ops/grad_accumulator.h"
#include "model/stage/layer_stack.h"
#include "model/stage/stage.h"
#include "tests/support/guarded_pages.h"

typedef struct guarded_cpu_stage {
  rn_stage base;
  rn_layer_stack *layers;
  rn_spec spec;
  rn_stage_shape shape;
  guarded_set set;
  guarded_array *weights, *gradient, *exact;
  rn_grad_accumulator accumulator;
  rn_layer_group_port port;            /* layer group port that the caller attached */
  guarded_array *own, *before, *after; /* states of the scan in progress */
  rn_scan_port *scan;                  /* scan port of the caller */
  rn_range states;                     /* range of elements in each of these states */
} guarded_cpu_stage;

static inline guarded_cpu_stage *guarded_stage_of(rn_stage *stage) {
  return (guarded_cpu_stage *)stage;
}

static inline float *guarded_floats(const guarded_array *array) {
  return (float *)(void *)array->base;
}

/** Returns the activations of a slot. */
rn_activations *guarded_slot_activations(rn_stage_slot *slot);

#endif
