#include "comm/world/backoff.h"

#include <sched.h>
#include <time.h>

#include "proto/base/progress.h"

/* One spin polls once (< 1 us); a yield costs a few us. */
enum { SPINS = 200, YIELDS = 2000, SLEEP_NS = 50000 };

void rn_backoff_wait(rn_backoff *backoff) {
  if (backoff->polls < SPINS + YIELDS) backoff->polls++;
  if (backoff->polls <= SPINS) return;
  /* Tells the watchdog that this rank is waiting. The short spins above need not tell it, but on an
   * overloaded machine a yield can take milliseconds. */
  if (!backoff->other_thread) rn_progress_poll();
  if (backoff->polls < SPINS + YIELDS) {
    sched_yield();
    return;
  }
  nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}
