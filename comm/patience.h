/**
 * How a rank waits for a message: it spins briefly, then gives the core away, then sleeps.
 *
 * Spinning answers at once, which a chain of ranks needs; a core that is shared must be left to
 * whoever makes the message.
 */
#ifndef RN_COMM_PATIENCE_H
#define RN_COMM_PATIENCE_H

#include <stdbool.h>

/** Zeroed at the start of a wait, but for who waits. */
typedef struct rn_patience {
  int turns;
  bool other_thread; /* not the main one: the rank as such may be at work meanwhile */
} rn_patience;

/** One turn between two looks. */
void rn_patience_wait(rn_patience *patience);

#endif
