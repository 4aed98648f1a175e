/** Prints the table of a watchdog: what each rank does, and which ranks are late. */
#ifndef RN_COMM_WORLD_WATCHDOG_TABLE_H
#define RN_COMM_WORLD_WATCHDOG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/progress.h"

/** What is known about a rank. */
typedef struct rn_rank_state {
  int rank;
  const char *host;                       /* NULL: the title of the table names the host */
  char operation[RN_PROGRESS_NAME_BYTES]; /* empty: unknown */
  int64_t step;
  double idle_s;   /* time since the last progress */
  double silent_s; /* if the process no longer reports: time since it last did; otherwise <= 0 */
  bool waits;      /* true if it waits for other ranks */
} rn_rank_state;

/**
 * Writes `title` and one line per rank to stderr. If there are more than 64 ranks, prints only 64
 * lines and the number of ranks left out; ranks that wait for other ranks are left out first.
 * Marks silent ranks as late. If no rank is silent, marks as late the rank for which the others
 * probably wait: of the ranks that do not wait, the one whose last progress is the oldest. Not
 * collective. Errors: none.
 */
void rn_watchdog_table_print(const char *title, const rn_rank_state *ranks, int count);

/** Returns the index of the rank that the others probably wait for; see above.
 * Not collective. Errors: none. */
int rn_watchdog_table_slowest(const rn_rank_state *ranks, int count);

/** Writes to stderr with write(), because the main thread may hang while it holds the lock of
 * stderr. Gives up if stderr is a pipe that nobody reads for a second. Not collective. Errors:
 * none. */
void rn_watchdog_write(const char *text, size_t bytes);

#endif
