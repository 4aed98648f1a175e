/**
 * A stage's gradients and weights on their way between its replicas, under the work of its layers.
 *
 * Backward of a step's last unit tells which parts of the gradient are whole: their buckets are
 * summed while it goes on. Updated weights come bucket by bucket; whoever reads a part waits for
 * it only.
 */
#ifndef RN_TRAINER_EXCHANGE_H
#define RN_TRAINER_EXCHANGE_H

#include <stdbool.h>

#include "comm/comm_thread.h"
#include "comm/gather.h"
#include "comm/reduce.h"
#include "proto/part_port.h"
#include "trainer/ownership.h"

typedef struct rn_exchange {
  const rn_ownership *ownership; /* not owned */
  rn_reducer *reducer;           /* owned */
  rn_gather *gather;             /* not owned */
  rn_comm_thread *comm_thread;   /* has MPI while the stage computes, not owned; NULL: none */
  int held;                      /* a part that somebody else has to add to first; -1: none */
  bool last;                     /* what is added now is the last of the step */
  rn_err err;                    /* of what could not be said at once */
} rn_exchange;

/** The port for the stage; the exchange stays where it is as long as the port is used. */
rn_part_port rn_exchange_port(rn_exchange *exchange);

/** The step's gradient of a part is whole, on every replica at this place of the step. */
rn_status rn_exchange_add(rn_err *err, rn_exchange *exchange, int part);

/** All gradients are summed; all weights are whole, and this rank's may be written. */
rn_status rn_exchange_finish(rn_err *err, rn_exchange *exchange);

#endif
