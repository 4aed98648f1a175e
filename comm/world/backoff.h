/**
 * How a rank waits for a message: it spins briefly, then gives the core away, then sleeps.
 *
 * Spinning answers at once, which a chain of ranks needs; a core that is shared must be left to
 * whoever makes the message.
 */
#ifndef RN_COMM_WORLD_BACKOFF_H
#define RN_COMM_WORLD_BACKOFF_H

#include <stdbool.h>

/** Zeroed at the start of a wait, but for who waits. */
typedef struct rn_backoff {
  int polls;
  bool other_thread; /* not the main one: the rank as such may be at work meanwhile */
} rn_backoff;

/** One turn between two looks. */
void rn_backoff_wait(rn_backoff *backoff);

#endif
