#include "trainer/run_owner.h"

#include <unistd.h>

#include "data/file.h"
#include "proto/progress.h"

rn_status rn_run_owner_look(rn_err *err, const rn_world *world, const char *run_dir,
                            rn_run_lock **out) {
  rn_status status = RN_OK;
  *out = NULL;
  rn_progress_begin("lock run.dir", 0);
  if (rn_world_rank(world) == 0 && access(run_dir, W_OK) == 0) {
    status = rn_run_lock_take(err, run_dir, rn_run_lock_default, out);
  }
  status = rn_agree(err, world, status);
  if (status != RN_OK && status != RN_ERR_MPI) rn_run_lock_release(out);
  return status;
}

rn_status rn_run_owner_take(rn_err *err, const char *run_dir, rn_run_lock **lock) {
  if (*lock != NULL) return RN_OK;
  RN_TRY(err, rn_file_make_folder(err, run_dir));
  return rn_run_lock_take(err, run_dir, rn_run_lock_default, lock);
}
