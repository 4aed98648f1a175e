/**
 * One pass over a unit, forward or backward: the context that a stage passes to its layers and
 * blocks.
 *
 * A pass is made once per unit; layers and blocks do not change it. A caller of model/stage/stage.h
 * sets unit, port, form, train and weights; the CPU backend sets the rest.
 */
#ifndef RN_MODEL_PASS_PASS_H
#define RN_MODEL_PASS_PASS_H

#include <stdbool.h>

#include "model/pass/unit.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/ports/scan_port.h"

typedef struct rn_pass {
  const rn_real *params; /* [total]: the stage's flat parameters; not owned */
  const rn_unit *unit;   /* not owned */
  rn_scan_port *port;    /* runs FORWARD scans of states, REVERSE scans of adjoints; not owned */
  rn_form form;          /* form of the retention; used by forward only */
  bool train;            /* forward: enables dropout */
  bool weights;          /* backward_input: accumulates the weight gradients, too */
  struct rn_activations *activations;      /* of the stage; not owned */
  struct rn_grad_accumulator *accumulator; /* backward only; not owned */
  /* weight gradients that wait: backward with weights adds to it, and forward and backward compute
   * some while a state is in flight; not owned; NULL: none wait */
  struct rn_weight_queue *queue;
} rn_pass;

#endif
