/**
 * Lists the units (model/pass/unit.h) of a stage whose weight gradients are deferred:
 * backward_input has been called for them, but not yet backward_weight.
 *
 * The stage's queue takes weight products from this list, layer by layer, while the stage or its
 * caller would otherwise wait. Units are processed in the order of their backward_input, and the
 * layers of a unit from the last to the first, so gradients do not depend on how many of them are
 * computed early.
 */
#ifndef RN_MODEL_STAGE_WAITING_UNITS_H
#define RN_MODEL_STAGE_WAITING_UNITS_H

#include "model/stage/activations.h"

typedef struct rn_waiting_units {
  const rn_layer *layer;        /* [layers of the stage]; not owned */
  rn_weight_queue *queue;       /* not owned */
  rn_activations *first, *last; /* list in the order of backward_input; not owned */
} rn_waiting_units;

/** Adds a unit; pass->activations must not change until rn_waiting_units_finish. */
void rn_waiting_units_add(rn_waiting_units *units, const rn_pass *pass);

/** Returns a source that adds the weight gradients of these units to the queue. The source keeps
 * the pointer `units`. */
rn_weight_queue_source rn_waiting_units_source(rn_waiting_units *units);

/**
 * Computes the remaining weight gradients of the first unit in the list, which must be the unit of
 * `activations`, and removes the unit. Calls complete.complete(self, i) for each layer i of the
 * stage, from the last to the first.
 */
void rn_waiting_units_finish(rn_waiting_units *units, const rn_activations *activations,
                             rn_weight_queue_event complete);

#endif
