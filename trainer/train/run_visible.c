#include "trainer/train/run_visible.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "data/file/file.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"

enum { OWNER_BYTES = 1024, FIRST_PAUSE_MS = 100, LAST_PAUSE_MS = 1000 };

/* Reads the text that identifies the owner of the lock: the lock file without the heartbeat, which
 * is the number at its end. Sets `owner` to "" if the file is not visible. */
static void read_owner(const char *run_dir, char owner[OWNER_BYTES]) {
  const rn_path path = rn_path_join(run_dir, "lock");
  FILE *file = fopen(path.text, "r");
  memset(owner, 0, OWNER_BYTES);
  if (file == NULL) return;
  size_t used = fread(owner, 1, OWNER_BYTES - 1, file);
  fclose(file);
  while (used > 0 &&
         (isdigit((unsigned char)owner[used - 1]) || isspace((unsigned char)owner[used - 1])))
    owner[--used] = '\0';
}

static void pause_ms(int ms) {
  const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&pause, NULL);
  rn_progress_unit();
}

static rn_status fail_unseen(rn_err *err, rn_world *world, bool sees, const char *run_dir,
                             double timeout_s) {
  rn_status status = RN_OK;
  if (!sees) {
    status =
        rn_fail(err, RN_ERR_MISMATCH,
                "%s/lock, which rank 0 has written, is not visible here (waited %.0f s): run.dir "
                "must be on a file system that all hosts mount at the same path",
                run_dir, timeout_s);
  }
  return rn_agree(err, world, status);
}

rn_status rn_run_visible_check(rn_err *err, rn_world *world, const char *run_dir,
                               double timeout_s) {
  char owner[OWNER_BYTES], seen[OWNER_BYTES];
  const double begin_s = rn_clock_s();
  read_owner(run_dir, owner);
  RN_TRY(err, rn_world_broadcast(err, world, owner, sizeof owner));
  for (int ms = FIRST_PAUSE_MS;; ms = ms < LAST_PAUSE_MS / 2 ? 2 * ms : LAST_PAUSE_MS) {
    read_owner(run_dir, seen);
    const bool sees = strcmp(owner, seen) == 0;
    int64_t max[2] = {!sees, rn_clock_s() - begin_s > timeout_s};
    RN_TRY(err, rn_world_max(err, world, max, 2));
    if (max[0] == 0) return RN_OK;
    if (max[1] != 0) return fail_unseen(err, world, sees, run_dir, timeout_s);
    if (ms == FIRST_PAUSE_MS) {
      rn_log_warn(
          "%s/lock is not yet visible to all ranks: waiting up to %.0f s for the file system",
          run_dir, timeout_s);
    }
    pause_ms(ms);
  }
}
