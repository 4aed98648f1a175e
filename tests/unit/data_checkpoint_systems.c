/* Checks that a run can be locked, saved and pruned on file systems that lack a call, lose a reply,
 * or keep a file that is still open; and that an error never costs the checkpoint on disk. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/file.h"
#include "data/run/run_lock.h"
#include "tests/support/check.h"
#include "tests/support/failing_calls.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* True: a folder seems to have each entry twice, as while it changes on a network file system. */
static bool repeats;

struct dirent *__real_readdir(DIR *folder);
struct dirent *__wrap_readdir(DIR *folder);
struct dirent *__wrap_readdir(DIR *folder) {
  static struct dirent *last; /* to be returned again */
  struct dirent *entry = last != NULL ? last : __real_readdir(folder);
  last = repeats && last == NULL ? entry : NULL;
  return entry;
}

static const int unsupported[] = {EINVAL, ENOSYS, EOPNOTSUPP, EPERM};
enum { UNSUPPORTED = sizeof unsupported / sizeof *unsupported };

static const rn_run_lock_rule rule = {.beat_s = 0.05, .dead_s = 60};

static void works_again(void) {
  failing_calls_set(NULL, 0, NULL, false);
}

static bool holds(const char *run, int64_t step, uint64_t seed) {
  rn_ckpt *ckpt = NULL;
  const rn_path path = rn_ckpt_step_path(run, step, RN_CKPT_WHOLE);
  const bool same =
      CHECK_OK(err, rn_ckpt_find(err, path.text, false, NULL, &ckpt)) && fake_is(ckpt, seed);
  rn_ckpt_close(&ckpt);
  return same;
}

static void a_step_is_replaced_without_an_exchange(void) {
  const char *run = temp_path("replaced");
  CHECK_OK(err, fake_save(err, run, 5, 1, 1, 0));
  for (int i = 0; i < UNSUPPORTED; i++) {
    failing_calls_set("renameat2", unsupported[i], NULL, false);
    CHECK_OK(err, fake_save(err, run, 5, 2 + (uint64_t)i, 1, 0));
    CHECK_EQUAL(failing_calls_count(), 1);
    works_again();
    CHECK(holds(run, 5, 2 + (uint64_t)i));
  }
  failing_calls_set("renameat2", EIO, NULL, false);
  CHECK_FAILS(err, RN_ERR_IO, "rename", fake_save(err, run, 5, 9, 1, 0));
  works_again();
  CHECK(holds(run, 5, 1 + UNSUPPORTED));
}

static void a_save_whose_rename_lost_its_reply_is_saved(void) {
  const char *run = temp_path("lost");
  failing_calls_set("rename", ENOENT, "step-", true);
  CHECK_OK(err, fake_save(err, run, 1, 1, 2, 0));
  CHECK_EQUAL(failing_calls_count(), 2); /* of the manifest and of the folder */
  works_again();
  CHECK(holds(run, 1, 1));
}

static void a_run_is_locked_and_saved_without_fsync(void) {
  const char *run = temp_path("unsynced");
  rn_run_lock *lock = NULL;
  CHECK_OK(err, rn_file_make_folder(err, run));
  for (int i = 0; i < UNSUPPORTED - 1; i++) { /* EPERM is an error */
    failing_calls_set("fsync", unsupported[i], NULL, false);
    CHECK_OK(err, rn_run_lock_take(err, run, rule, &lock));
    CHECK_OK(err, rn_ckpt_preflight(err, run, 100, (rn_ckpt_keep){2, 0}));
    CHECK_OK(err, fake_save(err, run, 1 + i, 3, 2, 0));
    rn_run_lock_release(&lock);
    works_again();
    CHECK(holds(run, 1 + i, 3));
    CHECK(!rn_file_exists(rn_path_join(run, "lock").text));
  }
}

static void a_run_is_locked_without_links(void) {
  static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EMLINK, EXDEV};
  const char *run = temp_path("unlinked");
  CHECK_OK(err, rn_file_make_folder(err, run));
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    rn_run_lock *lock = NULL, *second = NULL;
    failing_calls_set("link", errors[i], NULL, false);
    CHECK_OK(err, rn_run_lock_take(err, run, rule, &lock));
    CHECK_FAILS(err, RN_ERR_BUSY, "in use", rn_run_lock_take(err, run, rule, &second));
    CHECK(failing_calls_count() >= 1);
    rn_run_lock_release(&lock);
    works_again();
  }
}

static void the_free_space_need_not_be_known(void) {
  const char *run = temp_path("space");
  for (int i = 0; i < UNSUPPORTED - 1; i++) {
    failing_calls_set("statvfs", unsupported[i], NULL, false);
    CHECK_OK(err, rn_ckpt_preflight(err, run, 100, (rn_ckpt_keep){2, 0}));
    works_again();
  }
  failing_calls_set("statvfs", EIO, NULL, false);
  CHECK_FAILS(err, RN_ERR_IO, "free space", rn_ckpt_preflight(err, run, 1, (rn_ckpt_keep){2, 0}));
  failing_calls_set("unlink", ENOENT, ".trial", true);
  CHECK_OK(err, rn_ckpt_preflight(err, run, 100, (rn_ckpt_keep){2, 0}));
  works_again();
}

/* NFS keeps a file that a program of this host still reads: it cannot be removed. */
static void a_file_that_is_read_stops_neither_pruning_nor_saving(void) {
  const char *run = temp_path("read");
  for (int step = 1; step <= 5; step++) CHECK_OK(err, fake_save(err, run, step, 1, 1, 0));
  failing_calls_set("remove", EBUSY, "step-00000003.tmp/part", false);
  CHECK_FAILS(err, RN_ERR_IO, "busy", rn_ckpt_prune(err, run, 1, 0));
  for (int step = 1; step <= 4; step++) {
    CHECK(!rn_file_exists(rn_ckpt_step_path(run, step, RN_CKPT_WHOLE).text));
    CHECK_EQUAL(rn_file_exists(rn_ckpt_stage_path(run, step).text), step == 3);
  }
  CHECK(holds(run, 5, 1));
  CHECK_OK(err, fake_save(err, run, 3, 2, 1, 0)); /* as after a rollback */
  CHECK(holds(run, 3, 2));
  works_again();
  CHECK_OK(err, rn_ckpt_prune(err, run, 2, 0));
  CHECK(holds(run, 3, 2));
  CHECK(!rn_file_exists(rn_ckpt_step_path(run, 3, RN_CKPT_BAD).text));
}

static void a_checkpoint_that_is_listed_twice_counts_once(void) {
  const char *run = temp_path("twice");
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  for (int step = 1; step <= 3; step++) CHECK_OK(err, fake_save(err, run, step, 1, 1, 0));
  repeats = true;
  CHECK_OK(err, rn_ckpt_list(err, run, &entries, &count));
  CHECK_EQUAL(count, 3);
  free(entries);
  CHECK_OK(err, rn_ckpt_prune(err, run, 2, 0));
  repeats = false;
  CHECK(!rn_file_exists(rn_ckpt_step_path(run, 1, RN_CKPT_WHOLE).text));
  CHECK(holds(run, 2, 1) && holds(run, 3, 1));
}

/* The repeated call of link finds the name that the first call has made. */
static void a_link_whose_reply_is_lost_is_the_lock(void) {
  const char *run = temp_path("linked");
  rn_run_lock *lock = NULL;
  CHECK_OK(err, rn_file_make_folder(err, run));
  failing_calls_set("link", EEXIST, NULL, true);
  CHECK_OK(err, rn_run_lock_take(err, run, rule, &lock));
  CHECK_EQUAL(failing_calls_count(), 1);
  failing_calls_set("unlink", ENOENT, "lock", true);
  rn_run_lock_release(&lock);
  works_again();
  CHECK(!rn_file_exists(rn_path_join(run, "lock").text));
}

int main(void) {
  a_checkpoint_that_is_listed_twice_counts_once();
  a_link_whose_reply_is_lost_is_the_lock();
  a_step_is_replaced_without_an_exchange();
  a_save_whose_rename_lost_its_reply_is_saved();
  a_run_is_locked_and_saved_without_fsync();
  a_run_is_locked_without_links();
  the_free_space_need_not_be_known();
  a_file_that_is_read_stops_neither_pruning_nor_saving();
  return check_result();
}
