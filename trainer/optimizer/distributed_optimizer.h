/**
 * Overlaps the reduce-scatter of a stage's gradients and the all-gather of its weights, both over
 * the replicas of the stage, with the computation of its layers.
 *
 * Weights are divided into layer groups (proto/ports/layer_group_port.h; `group` is the index of a
 * layer group), and layer groups into buckets. The last backward pass of a step reports each layer
 * group as soon as its gradient is complete; the buckets of the group are then reduced while
 * backward continues. Updated weights arrive bucket by bucket; forward waits only for the layer
 * group that it reads next.
 */
#ifndef RN_TRAINER_OPTIMIZER_DISTRIBUTED_OPTIMIZER_H
#define RN_TRAINER_OPTIMIZER_DISTRIBUTED_OPTIMIZER_H

#include <stdbool.h>

#include "comm/optimizer/reduce_scatter.h"
#include "comm/world/comm_thread.h"
#include "proto/ports/layer_group_port.h"
#include "trainer/optimizer/shard_table.h"
#include "trainer/optimizer/weights_gather.h"

typedef struct rn_distributed_optimizer {
  rn_stage *stage;                   /* the stage that computes the gradient; not owned */
  rn_stage_array gradient;           /* RN_STAGE_GRADIENT or RN_STAGE_EXACT_GRADIENT */
  const rn_shard_table *shard_table; /* not owned */
  rn_reduce_scatter *reduce_scatter; /* owned */
  rn_weights_gather *weights;        /* not owned */
  rn_comm_thread *comm_thread;       /* calls MPI while the stage computes; not owned; NULL: none */
  int held;   /* layer group whose gradient another stage must complete first (tied embedding); -1:
                 none */
  bool last;  /* true if the current task completes the step's gradient */
  rn_err err; /* first failure of added(), a function of the port that cannot return a status */
} rn_distributed_optimizer;

/**
 * Returns the port for the stage. The port points to `optimizer`, which must not move while it is
 * in use.
 */
rn_layer_group_port rn_distributed_optimizer_port(rn_distributed_optimizer *optimizer);

/**
 * Maps the gradient of a layer group for reading and starts the reduce-scatter of its buckets. The
 * gradient must be complete.
 * Collective: over the replicas of the stage, in the same order of layer groups.
 * Errors: RN_ERR_MPI; those of rn_stage_map.
 */
rn_status rn_distributed_optimizer_add(rn_err *err, rn_distributed_optimizer *optimizer, int group);

/**
 * Waits until all gradients are reduced and all weights have arrived, and unmaps the gradients. On
 * return, this rank may write its weights. Collective: over the replicas. Errors: RN_ERR_MPI; a
 * failure of an earlier call of the port's added().
 */
rn_status rn_distributed_optimizer_finish(rn_err *err, rn_distributed_optimizer *optimizer);

#endif
