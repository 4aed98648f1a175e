/* Checks that the previous checkpoint stays valid wherever a save fails or is killed, and that
 * the next save is complete; also if the save replaces the only checkpoint of the run, on file
 * systems with and without RENAME_EXCHANGE. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

enum { PARTS = 3 };

static rn_err *err = &(rn_err){0};
static const char *const sites[] = {"ckpt.write", "ckpt.fsync", "ckpt.manifest", "ckpt.rename",
                                    "ckpt.latest"};
enum { SITES = sizeof sites / sizeof *sites };

static bool has_exchange = true; /* the file system supports RENAME_EXCHANGE */
static uint64_t version;         /* distinguishes the values of saves of the same step */

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  if (flags != RENAME_EXCHANGE || has_exchange) {
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
  }
  errno = EINVAL;
  return -1;
}

static rn_status save(const char *run, int64_t step) {
  return fake_save(err, run, step, (uint64_t)step + version, PARTS, 1);
}

/* Returns the step of the newest valid checkpoint and checks its values; -1 if there is none. */
static int64_t newest(const char *run) {
  rn_ckpt *ckpt = NULL;
  if (!CHECK_OK(err, rn_ckpt_find(err, run, true, NULL, &ckpt))) return -1;
  int64_t step = rn_ckpt_manifest(ckpt)->step;
  CHECK(fake_is(ckpt, (uint64_t)step));
  CHECK_OK(err, rn_ckpt_verify(err, ckpt));
  rn_ckpt_close(&ckpt);
  return step;
}

/* Saves with a fault that occurs when the save reaches `site` for the `pass`-th time. Returns
 * false if the save reaches it fewer times. */
static bool fails(const char *run, const char *site, int pass, int64_t step) {
  char order[64];
  snprintf(order, sizeof order, "%s:%d", site, pass);
  setenv("RETNET_FAULT", order, 1);
  rn_status status = save(run, step);
  unsetenv("RETNET_FAULT");
  if (status == RN_OK) return false;
  CHECK_FAILS(err, RN_ERR_IO, "No space left on device|free some space", status);
  return true;
}

static bool killed(const char *run, const char *site, int pass, int64_t step) {
  int how = 0;
  pid_t child = fork();
  if (child == 0) {
    char order[64];
    snprintf(order, sizeof order, "%s:%d:kill", site, pass);
    setenv("RETNET_FAULT", order, 1);
    _exit(save(run, step) == RN_OK ? 0 : 1);
  }
  CHECK(waitpid(child, &how, 0) == child);
  CHECK(WIFSIGNALED(how) || (WIFEXITED(how) && WEXITSTATUS(how) == 0));
  return WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
}

/* For each site, injects a fault when a save reaches the site for the 1st, 4th, 7th, ... time.
 * After each fault, checks that the run has a valid checkpoint and that the same step can be saved.
 * Returns the number of faults. */
static int every_site(const char *run, bool (*strike)(const char *, const char *, int, int64_t)) {
  int64_t step = 1;
  int struck = 0;
  CHECK_OK(err, save(run, step));
  for (int s = 0; s < SITES; s++) {
    for (int pass = 1;; pass += 3) {
      bool hit = strike(run, sites[s], pass, step + 1);
      int64_t found = newest(run);
      CHECK(found == step || (found == step + 1 && (!hit || s == SITES - 1)));
      if (!hit) break;
      struck++;
      CHECK_OK(err, save(run, step + 1));
      CHECK_EQUAL(newest(run), step + 1);
      CHECK_OK(err, rn_ckpt_prune(err, run, 2, 0));
      CHECK_EQUAL(newest(run), step + 1);
      step++;
    }
    step = newest(run);
  }
  return struck;
}

/* Checks that the checkpoint of step 1, the only one, holds its old or its new values. */
static void check_only_one(const char *run) {
  rn_ckpt *ckpt = NULL;
  if (!CHECK_OK(err, rn_ckpt_find(err, run, true, NULL, &ckpt))) return;
  CHECK_EQUAL(rn_ckpt_manifest(ckpt)->step, 1);
  CHECK(fake_is(ckpt, 1) || fake_is(ckpt, 2));
  rn_ckpt_close(&ckpt);
}

/* Saves the only checkpoint again, with a fault at each rename and around it. */
static int replaced(const char *name, bool (*strike)(const char *, const char *, int, int64_t)) {
  static const char *const around[] = {"ckpt.manifest", "ckpt.rename", "file.rename"};
  enum { RENAMES = 6 };
  int struck = 0;
  for (int i = 0; i < 3 * RENAMES; i++) {
    char folder[40];
    snprintf(folder, sizeof folder, "%s-%d", name, i);
    const char *run = temp_path(folder);
    version = 0;
    CHECK_OK(err, save(run, 1));
    version = 1;
    struck += strike(run, around[i / RENAMES], i % RENAMES + 1, 1);
    check_only_one(run);
    CHECK_OK(err, rn_ckpt_restore_names(err, run));
    CHECK(rn_file_exists(rn_ckpt_step_path(run, 1, RN_CKPT_WHOLE).text));
    check_only_one(run);
    CHECK_OK(err, save(run, 1));
    CHECK_OK(err, rn_ckpt_prune(err, run, 2, 0));
    check_only_one(run);
    for (int state = RN_CKPT_BAD; state <= RN_CKPT_REPLACED; state++) {
      CHECK(!rn_file_exists(rn_ckpt_step_path(run, 1, (rn_ckpt_state)state).text));
    }
  }
  version = 0;
  return struck;
}

int main(void) {
  CHECK(every_site(temp_path("fail"), fails) > SITES);
  CHECK(every_site(temp_path("kill"), killed) > SITES);
  CHECK(replaced("exchanged", fails) >= 3 && replaced("exchanged-kill", killed) >= 3);
  has_exchange = false;
  CHECK(replaced("renamed", fails) >= 5 && replaced("renamed-kill", killed) >= 5);
  return check_result();
}
