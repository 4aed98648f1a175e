#include "model/stage/waiting_units.h"

#include <assert.h>

#include "proto/base/progress.h"
#include "proto/base/slowdown.h"
#include "proto/base/span.h"

void rn_waiting_units_add(rn_waiting_units *units, const rn_pass *pass) {
  rn_activations *unit = pass->activations;
  unit->rows_of_weights = rn_rows_of_unit(pass->unit);
  unit->accumulator = pass->accumulator;
  unit->layers_left = unit->layer_count;
  unit->next_waiting = NULL;
  if (units->first == NULL) {
    units->first = unit;
  } else {
    units->last->next_waiting = unit;
  }
  units->last = unit;
}

/* Adds the weight gradients of the next layer of a unit to the queue. */
static void add_layer(rn_waiting_units *units, rn_activations *unit) {
  const int i = --unit->layers_left;
  rn_layer_defer_weights(&units->layer[i], unit->rows_of_weights, &unit->layer[i],
                         unit->accumulator, units->queue);
  rn_progress_unit();
}

static bool add_next(void *self) {
  rn_waiting_units *units = self;
  rn_activations *unit = units->first;
  while (unit != NULL && unit->layers_left == 0) unit = unit->next_waiting;
  if (unit == NULL) return false;
  rn_span_phase("weight gradient GEMMs");
  add_layer(units, unit);
  return true;
}

rn_weight_queue_source rn_waiting_units_source(rn_waiting_units *units) {
  return (rn_weight_queue_source){units, add_next};
}

void rn_waiting_units_finish(rn_waiting_units *units, const rn_activations *activations,
                             rn_weight_queue_event complete) {
  rn_activations *unit = units->first;
  assert(unit == activations);
  (void)activations;
  for (int left = unit->layer_count; left > 0; left--) {
    const double begin_s = rn_slowdown_begin();
    if (unit->layers_left == left) add_layer(units, unit);
    rn_weight_queue_finish(units->queue, NULL);
    rn_slowdown_end(begin_s);
    complete.complete(complete.self, left - 1);
  }
  units->first = unit->next_waiting;
}
