/**
 * The model calls this port before and after its work on each layer group, so that the optimizer
 * can all-gather weights and reduce-scatter gradients while the model computes. Group 0 is the
 * embedding, group 1 + i is layer i of the stage, and the last group is the head.
 */
#ifndef RN_PROTO_PORTS_LAYER_GROUP_PORT_H
#define RN_PROTO_PORTS_LAYER_GROUP_PORT_H

#include "proto/base/status.h"

typedef struct rn_layer_group_port {
  void *self;
  /** Called before the weights of `group` are read. Returns when they are complete. */
  rn_status (*wait)(rn_err *err, void *self, int group);
  /** Called for each unit of work (a micro-batch, or a segment of one) after it has added its
   * contribution to the gradient of `group`. */
  void (*added)(void *self, int group);
} rn_layer_group_port;

#endif
