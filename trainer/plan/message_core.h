/**
 * Decides whether a rank whose number of threads is not given reserves one of its cores for the
 * communication thread (comm/world/comm_thread.h).
 *
 * The work of a layer, forward and backward together, takes the time W on one thread, and W / t on
 * a rank with t threads. The state of a segment travels through the S ranks of a sequence. A
 * fraction of the work, `hidden`, overlaps with this travel; the rest of the travel time adds to
 * the time of the layer:
 *
 *   layer(t, poll) = W / t + max(0, travel(poll) - hidden * W_forward / t)
 *                          + max(0, travel(poll) - hidden * W_backward / t)
 *   travel(poll)   = (S - 1) * poll / 2 + time of the pipelined scan (comm/scan/scan_cost.h)
 *
 * If the communication thread has a core of its own, it detects a message immediately (poll = 0),
 * but t is smaller by one. Otherwise, `poll` is the time between two polls, which also take CPU
 * time from the other threads. Rates and latencies are constants that are typical of a cluster, so
 * the rule is a pure function of the model, the layout and the number of cores. It does not affect
 * results.
 */
#ifndef RN_TRAINER_PLAN_MESSAGE_CORE_H
#define RN_TRAINER_PLAN_MESSAGE_CORE_H

#include <stdbool.h>

#include "model/spec/spec.h"
#include "trainer/layout/layout.h"
#include "trainer/machine/machine.h"

/** Inputs of the rule that decides whether a core is reserved for messages. */
typedef struct rn_message_core_case {
  int cores;           /* number of cores of the rank: t, or t + 1 if one is reserved */
  int ranks;           /* S */
  double layer_flops;  /* FLOP of one layer for a unit on this rank, forward and backward */
  int64_t state_bytes; /* bytes of a unit's states in one layer */
  double flops_per_s;  /* FLOP rate of one core */
} rn_message_core_case;

/** Returns the estimated seconds of a layer, forward and backward. `left` is true if a core is
 * reserved for the communication thread. */
double rn_message_core_layer_s(rn_message_core_case c, bool left);

/** Returns true if a layer is faster with a core reserved for the communication thread; the rank
 * then has `cores` - 1 threads. */
bool rn_message_core_wins(rn_message_core_case c);

/**
 * Applies the rule to `machine` if its number of threads was not given, parallel.comm_thread is not
 * off and ranks share sequences: decreases machine->threads by one or leaves it unchanged, and
 * writes the reason to machine->threads_reason. `config` is an effective configuration.
 *
 * Errors: those of rn_layout_resolve.
 */
rn_status rn_message_core_apply(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                int ranks, rn_machine *machine);

#endif
