#include "trainer/train/run_visible.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "data/run/run_lock.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"

enum { FIRST_PAUSE_MS = 100, LAST_PAUSE_MS = 1000 };

static void pause_ms(int ms) {
  const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&pause, NULL);
  rn_progress_unit();
}

static rn_status fail_unseen(rn_err *err, rn_world *world, bool sees, const char *run_dir,
                             double timeout_s, const rn_err *why) {
  rn_status status = RN_OK;
  if (!sees) {
    status =
        rn_fail(err, RN_ERR_MISMATCH,
                "%s/lock, which rank 0 has written, is not visible here (waited %.0f s): run.dir "
                "must be on a file system that all hosts mount at the same path%s%s",
                run_dir, timeout_s, why->status == RN_OK ? "" : ": ", why->text);
  }
  return rn_agree(err, world, status);
}

rn_status rn_run_visible_check(rn_err *err, rn_world *world, const char *run_dir, double timeout_s,
                               rn_collective_stop *stop) {
  char owner[RN_RUN_LOCK_ID_BYTES], seen[RN_RUN_LOCK_ID_BYTES];
  const double begin_s = rn_clock_s();
  (void)rn_run_lock_read_id(NULL, run_dir, owner);
  RN_TRY(err, rn_world_broadcast(err, world, owner, sizeof owner));
  if (owner[0] == '\0') return RN_OK; /* rank 0 itself cannot read its lock */
  for (int ms = FIRST_PAUSE_MS;; ms = ms < LAST_PAUSE_MS / 2 ? 2 * ms : LAST_PAUSE_MS) {
    rn_err why = {0};
    (void)rn_run_lock_read_id(&why, run_dir, seen);
    const bool sees = strcmp(owner, seen) == 0;
    int64_t max[3] = {!sees, rn_clock_s() - begin_s > timeout_s, stop->asked()};
    RN_TRY(err, rn_world_max(err, world, max, 3));
    if (max[2] != 0) atomic_store(&stop->given, true);
    if (max[0] == 0 || max[2] != 0) return RN_OK;
    if (max[1] != 0) return fail_unseen(err, world, sees, run_dir, timeout_s, &why);
    if (ms == FIRST_PAUSE_MS) {
      rn_log_warn(
          "%s/lock is not yet visible to all ranks: waiting up to %.0f s for the file system",
          run_dir, timeout_s);
    }
    pause_ms(ms);
  }
}
