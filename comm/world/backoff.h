/**
 * Implements the backoff of a rank that polls for a message: the rank spins briefly, then yields
 * the core, then sleeps.
 *
 * Spinning minimises the latency, which adds up over the ranks of a scan. Yielding and sleeping
 * leave a shared core to the rank that produces the message.
 */
#ifndef RN_COMM_WORLD_BACKOFF_H
#define RN_COMM_WORLD_BACKOFF_H

#include <stdbool.h>

/** State of one wait. `polls` counts the polls so far; set it to 0 when a wait begins. */
typedef struct rn_backoff {
  int polls;
  bool other_thread; /* true if the waiting thread is not the main thread; the watchdog then does
                        not see this rank as waiting (rn_progress_poll) */
} rn_backoff;

/** Called between two polls: spins, yields or sleeps, depending on how many polls the wait has
 * taken. Not collective. Errors: none. */
void rn_backoff_wait(rn_backoff *backoff);

#endif
