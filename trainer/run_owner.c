#include "trainer/run_owner.h"

#include <unistd.h>

#include "comm/together.h"
#include "data/file.h"
#include "proto/progress.h"

/* What rank 0 is to take. */
typedef struct taking {
  const char *run_dir;
  rn_run_lock **out;
} taking;

static rn_status take_existing(rn_err *err, void *context) {
  const taking *t = context;
  if (access(t->run_dir, W_OK) != 0) return RN_OK;
  return rn_run_lock_take(err, t->run_dir, rn_run_lock_default, t->out);
}

rn_status rn_run_owner_look(rn_err *err, rn_world *world, const char *run_dir, rn_run_lock **out) {
  taking t = {run_dir, out};
  *out = NULL;
  rn_progress_begin("lock run.dir", 0);
  rn_status status = rn_together_by_first(err, world, take_existing, &t);
  if (status == RN_ERR_MPI) return status;
  status = rn_agree(err, world, status);
  if (status != RN_OK && status != RN_ERR_MPI) rn_run_lock_release(out);
  return status;
}

rn_status rn_run_owner_take(rn_err *err, const char *run_dir, rn_run_lock **lock) {
  if (*lock != NULL) return RN_OK;
  RN_TRY(err, rn_file_make_folder(err, run_dir));
  return rn_run_lock_take(err, run_dir, rn_run_lock_default, lock);
}
