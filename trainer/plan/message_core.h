/**
 * Rule: whether a rank whose threads are not given leaves one of its cores to the communication
 * thread (comm/world/comm_thread.h).
 *
 * A layer of a rank with t threads takes W / t, forward and backward. The state of a segment passes
 * the S ranks of a sequence while a part of that work hides it; what it takes longer is added:
 *
 *   layer(t, poll) = W / t + max(0, travel(poll) - hidden W_forward / t)
 *                          + max(0, travel(poll) - hidden W_backward / t)
 *   travel(poll)   = (S - 1) poll / 2 + time of the pipelined scan (comm/scan/scan_cost.h)
 *
 * With a core of its own, the thread sees a message at once (poll = 0), but t is smaller by one.
 * Without, `poll` is the time between two polls, which also take CPU time from the other threads.
 * Rates and latencies are constants, typical of a cluster, so the rule is a pure function of the
 * model, the layout and the number of cores. It does not affect bits.
 */
#ifndef RN_TRAINER_PLAN_MESSAGE_CORE_H
#define RN_TRAINER_PLAN_MESSAGE_CORE_H

#include <stdbool.h>

#include "model/spec/spec.h"
#include "trainer/layout/layout.h"
#include "trainer/machine/machine.h"

/** What the rule depends on. */
typedef struct rn_message_core_case {
  int cores;           /* cores of the rank: t without a core for messages */
  int ranks;           /* S */
  double layer_flops;  /* of one layer and unit on this rank, forward and backward */
  int64_t state_bytes; /* states of a unit in one layer */
  double flops_per_s;  /* of one core */
} rn_message_core_case;

/** Returns the estimated seconds of a layer, forward and backward, if a core is left for messages
 * (`left`) or not. */
double rn_message_core_layer_s(rn_message_core_case c, bool left);

/** Returns true if leaving a core takes less time; the rank then has `cores` - 1 threads. */
bool rn_message_core_wins(rn_message_core_case c);

/**
 * Applies the rule to `machine` if its number of threads was not given, parallel.comm_thread is not
 * off and ranks share sequences: decreases machine->threads by one, or keeps it, and writes the
 * reason to machine->threads_reason. `config` is an effective configuration.
 *
 * Errors: those of rn_layout_resolve.
 */
rn_status rn_message_core_apply(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                int ranks, rn_machine *machine);

#endif
