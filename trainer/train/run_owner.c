#include "trainer/train/run_owner.h"

#include <stdlib.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/file.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"

/* Arguments of take_existing, which runs on rank 0. */
typedef struct taking {
  const char *run_dir;
  const atomic_bool *stop;
  rn_run_lock **out;
} taking;

static rn_status take(rn_err *err, const char *run_dir, const atomic_bool *stop,
                      rn_run_lock **out) {
  rn_run_lock_rule rule = rn_run_lock_default;
  rule.stop = stop;
  return rn_run_lock_take(err, run_dir, rule, out);
}

static rn_status take_existing(rn_err *err, void *context) {
  const taking *t = context;
  if (access(t->run_dir, W_OK) != 0) return RN_OK;
  RN_TRY(err, take(err, t->run_dir, t->stop, t->out));
  rn_err failure = {0};
  if (*t->out != NULL && rn_ckpt_restore_names(&failure, t->run_dir) != RN_OK) {
    rn_log_warn("%s", failure.text); /* not an error: they can be read by their other name */
  }
  return RN_OK;
}

rn_status rn_run_owner_take_existing(rn_err *err, rn_world *world, const char *run_dir,
                                     rn_collective_stop *stop, rn_run_lock **out) {
  taking t = {run_dir, &stop->given, out};
  *out = NULL;
  rn_progress_begin("lock run.dir", 0);
  rn_status status = rn_collective_wait_for_root_or_stop(err, world, take_existing, &t, stop);
  if (status == RN_ERR_MPI) return status;
  status = rn_agree(err, world, status);
  if (status != RN_OK && status != RN_ERR_MPI) rn_run_lock_release(out);
  return status;
}

static rn_status check_unchanged(rn_err *err, const char *run_dir, int64_t known_step) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  int64_t newest = -1;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  for (int i = 0; i < count; i++) {
    if (entries[i].state == RN_CKPT_WHOLE) newest = entries[i].step;
  }
  free(entries);
  if (newest <= known_step) return RN_OK;
  return rn_fail(err, RN_ERR_BUSY,
                 "%s: another job saved step %lld there while this one started: start this job "
                 "again to continue from that step, or choose another run.dir",
                 run_dir, (long long)newest);
}

rn_status rn_run_owner_take(rn_err *err, const char *run_dir, int64_t known_step,
                            const atomic_bool *stop, rn_run_lock **lock) {
  if (*lock != NULL) return RN_OK;
  RN_TRY(err, rn_file_make_folder(err, run_dir));
  RN_TRY(err, take(err, run_dir, stop, lock));
  if (*lock == NULL) return RN_OK;
  const rn_status status = check_unchanged(err, run_dir, known_step);
  if (status != RN_OK) rn_run_lock_release(lock);
  return status;
}
