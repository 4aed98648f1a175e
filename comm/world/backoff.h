/**
 * Backoff of a rank that polls for a message: it spins briefly, then yields the core, then sleeps.
 *
 * Spinning minimises latency, which adds up over the ranks of a scan; yielding and sleeping leave a
 * shared core to the rank that produces the message.
 */
#ifndef RN_COMM_WORLD_BACKOFF_H
#define RN_COMM_WORLD_BACKOFF_H

#include <stdbool.h>

/** State of one wait; `polls` counts the polls and is 0 at its start. */
typedef struct rn_backoff {
  int polls;
  bool other_thread; /* not called by the main thread, which may be computing meanwhile */
} rn_backoff;

/** Waits between two polls, longer as the wait lasts. Not collective. Errors: none. */
void rn_backoff_wait(rn_backoff *backoff);

#endif
