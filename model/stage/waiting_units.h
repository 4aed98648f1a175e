/**
 * Units of a stage whose weight gradients wait: backward_input has run, backward_weight has not.
 *
 * The stage's queue takes products from here, layer by layer, whenever the stage or its caller
 * waits for something else. Units are computed in the order of their backward_input, and layers
 * from the last to the first, so gradients do not depend on how much is computed early.
 */
#ifndef RN_MODEL_STAGE_WAITING_UNITS_H
#define RN_MODEL_STAGE_WAITING_UNITS_H

#include "model/stage/activations.h"

typedef struct rn_waiting_units {
  const rn_layer *layer;        /* [layers of the stage]; not owned */
  rn_weight_queue *queue;       /* not owned */
  rn_activations *first, *last; /* list in the order of backward_input; not owned */
} rn_waiting_units;

/** Adds the unit of pass->activations. Its activations must not change until it is finished. */
void rn_waiting_units_add(rn_waiting_units *units, const rn_pass *pass);

/** Returns the source of products for the queue; *units must not move. */
rn_weight_queue_source rn_waiting_units_source(rn_waiting_units *units);

/**
 * Computes what is left of the first unit, which must be that of `activations`, and removes it.
 * Calls complete.complete(self, i) for each layer i of the stage, from the last to the first.
 */
void rn_waiting_units_finish(rn_waiting_units *units, const rn_activations *activations,
                             rn_weight_queue_event complete);

#endif
