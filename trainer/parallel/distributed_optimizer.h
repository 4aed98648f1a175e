/**
 * A stage's gradients and weights on their way between its replicas, under the work of its layers.
 *
 * Backward of a step's last unit tells which parts of the gradient are whole: their buckets are
 * summed while it goes on. Updated weights come bucket by bucket; whoever reads a part waits for
 * it only.
 */
#ifndef RN_TRAINER_PARALLEL_DISTRIBUTED_OPTIMIZER_H
#define RN_TRAINER_PARALLEL_DISTRIBUTED_OPTIMIZER_H

#include <stdbool.h>

#include "comm/optimizer/all_gather.h"
#include "comm/optimizer/reduce_scatter.h"
#include "comm/world/comm_thread.h"
#include "proto/ports/layer_group_port.h"
#include "trainer/parallel/shard_table.h"

typedef struct rn_distributed_optimizer {
  const rn_shard_table *shard_table; /* not owned */
  rn_reduce_scatter *reduce_scatter; /* owned */
  rn_all_gather *all_gather;         /* not owned */
  rn_comm_thread *comm_thread;       /* has MPI while the stage computes, not owned; NULL: none */
  int held;                          /* a part that somebody else has to add to first; -1: none */
  bool last;                         /* what is added now is the last of the step */
  rn_err err;                        /* of what could not be said at once */
} rn_distributed_optimizer;

/** The port for the stage; the exchange stays where it is as long as the port is used. */
rn_layer_group_port rn_distributed_optimizer_port(rn_distributed_optimizer *optimizer);

/** The step's gradient of a part is whole, on every replica at this place of the step. */
rn_status rn_distributed_optimizer_add(rn_err *err, rn_distributed_optimizer *optimizer, int part);

/** All gradients are summed; all weights are whole, and this rank's may be written. */
rn_status rn_distributed_optimizer_finish(rn_err *err, rn_distributed_optimizer *optimizer);

#endif
