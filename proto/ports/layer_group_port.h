/**
 * What the model says about the parts of its weights, so that others can bring and fetch them while
 * it works: part 0 is the embedding, 1 + i layer i of the stage, the one behind the last layer the
 * head.
 */
#ifndef RN_PROTO_PORTS_LAYER_GROUP_PORT_H
#define RN_PROTO_PORTS_LAYER_GROUP_PORT_H

#include "proto/base/status.h"

typedef struct rn_layer_group_port {
  void *self;
  /** The part's weights are about to be read: returns when they are whole. */
  rn_status (*wait)(rn_err *err, void *self, int part);
  /** A unit's gradient of the part has been added. */
  void (*added)(void *self, int part);
} rn_layer_group_port;

#endif
