/**
 * A pass is one forward or backward computation of a unit (model/pass/unit.h). rn_pass is the
 * context that a stage passes to its layers and blocks.
 *
 * Layers and blocks do not change the context. A caller of the functions in model/stage/stage.h
 * sets unit, port, rows, form, train and weights; the CPU backend sets the other fields.
 */
#ifndef RN_MODEL_PASS_PASS_H
#define RN_MODEL_PASS_PASS_H

#include <stdbool.h>

#include "model/pass/unit.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/ports/row_port.h"
#include "proto/ports/scan_port.h"

typedef struct rn_pass {
  const rn_real *params; /* [total]: the stage's flat parameters; not owned */
  const rn_unit *unit;   /* not owned */
  rn_scan_port *port;    /* scans states (FORWARD) and adjoints (REVERSE); not owned */
  rn_row_port *rows;     /* exchanges keys and values of attention layers; not owned; NULL: the unit
                            holds whole sequences */
  rn_form form;          /* form of the retention; used by forward only */
  bool train;            /* forward: enables dropout */
  bool weights;          /* backward_input: also accumulates the weight gradients */
  struct rn_activations *activations;      /* activations of the unit on this stage; not owned */
  struct rn_grad_accumulator *accumulator; /* backward only; not owned */
  /* queue of deferred weight gradients; backward_input with `weights` adds gradients, and forward
   * and backward_input compute some of them while a state is in flight; not owned; if NULL, no
   * gradient is deferred */
  struct rn_weight_queue *queue;
} rn_pass;

#endif
