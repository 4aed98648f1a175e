/* Checks that a job that creates run.dir late does not overwrite what another job has saved
 * there meanwhile. */
#include "trainer/train/run_owner.h"

#include <string.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err err;

int main(void) {
  const char *run = temp_path("run");
  rn_run_lock *lock = NULL;
  CHECK_OK(&err, rn_run_owner_take(&err, run, -1, NULL, &lock));
  CHECK(lock != NULL);
  rn_run_lock_release(&lock);
  CHECK_OK(&err, fake_save(&err, run, 20, 1, 1, 3));
  CHECK(rn_run_owner_take(&err, run, -1, NULL, &lock) == RN_ERR_BUSY);
  CHECK(strstr(err.text, "saved step 20") != NULL);
  CHECK(lock == NULL);
  CHECK(!rn_file_exists(rn_path_join(run, "lock").text));
  rn_err_clear(&err);
  CHECK(rn_run_owner_take(&err, run, 10, NULL, &lock) == RN_ERR_BUSY);
  rn_err_clear(&err);
  CHECK_OK(&err, rn_run_owner_take(&err, run, 20, NULL, &lock));
  rn_run_lock_release(&lock);
  return check_result();
}
