#include "comm/patience.h"

#include <sched.h>
#include <time.h>

#include "proto/progress.h"

/* A turn of spinning is one look at the messages, below 1 us; a yielded one a few. */
enum { SPINS = 200, YIELDS = 2000, SLEEP_NS = 50000 };

void rn_patience_wait(rn_patience *patience) {
  if (patience->turns < SPINS + YIELDS) patience->turns++;
  if (patience->turns >= SPINS + YIELDS && !patience->other_thread) rn_progress_poll();
  if (patience->turns <= SPINS) return;
  if (patience->turns < SPINS + YIELDS) {
    sched_yield();
    return;
  }
  nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}
