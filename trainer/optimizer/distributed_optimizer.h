/**
 * Overlaps the reduce-scatter of a stage's gradients and the all-gather of its weights, both over
 * the replicas of the stage, with the computation of its layers.
 *
 * Weights are divided into layer groups (proto/ports/layer_group_port.h; `group` is the index of
 * one) and these into buckets. The last unit's backward reports each layer group whose gradient is
 * complete; its buckets are then reduced while backward continues. Updated weights arrive bucket by
 * bucket; forward waits only for the layer group that it reads next.
 */
#ifndef RN_TRAINER_OPTIMIZER_DISTRIBUTED_OPTIMIZER_H
#define RN_TRAINER_OPTIMIZER_DISTRIBUTED_OPTIMIZER_H

#include <stdbool.h>

#include "comm/optimizer/all_gather.h"
#include "comm/optimizer/reduce_scatter.h"
#include "comm/world/comm_thread.h"
#include "proto/ports/layer_group_port.h"
#include "trainer/optimizer/shard_table.h"

typedef struct rn_distributed_optimizer {
  const rn_shard_table *shard_table; /* not owned */
  rn_reduce_scatter *reduce_scatter; /* owned */
  rn_all_gather *all_gather;         /* not owned */
  rn_comm_thread *comm_thread;       /* owns MPI while the stage computes; not owned; NULL: none */
  int held;   /* layer group to which another stage must add first (tied embedding); -1: none */
  bool last;  /* the current task's additions complete the step's gradient */
  rn_err err; /* first failure in the port's added(), which returns no status */
} rn_distributed_optimizer;

/** The port for the stage; it points to `optimizer`, which must not move while it is in use. */
rn_layer_group_port rn_distributed_optimizer_port(rn_distributed_optimizer *optimizer);

/**
 * Starts the reduce-scatter of a layer group's buckets; its gradient must be complete.
 * Collective: over the replicas of the stage, in the same order of layer groups.
 * Errors: RN_ERR_MPI.
 */
rn_status rn_distributed_optimizer_add(rn_err *err, rn_distributed_optimizer *optimizer, int group);

/**
 * Waits until all gradients are reduced and all weights have arrived; this rank may then write its
 * weights. Collective: over the replicas. Errors: RN_ERR_MPI, and a failure of an earlier added().
 */
rn_status rn_distributed_optimizer_finish(rn_err *err, rn_distributed_optimizer *optimizer);

#endif
