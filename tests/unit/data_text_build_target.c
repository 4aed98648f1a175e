/* Checks a build of data (retnet-data build) that cannot move its splits into place: it must leave
 * no files there, and must not remove files of another process. A build must remove the work
 * folders of killed builds. */
#include "data/text/build_target.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/file/temporary_name.h"
#include "tests/support/check.h"
#include "tests/support/failing_calls.h"
#include "tests/support/temp.h"

static rn_err err;

static rn_path file_in(const char *folder, const char *split) {
  return rn_path_join(rn_path_join(folder, split).text, "00000.rtd");
}

static void write_split(const char *folder, const char *split) {
  CHECK_OK(&err, rn_file_make_folder(&err, rn_path_join(folder, split).text));
  CHECK_OK(&err, rn_file_replace(&err, file_in(folder, split).text, "tokens", 6));
}

/* Simulates another process that writes its `split` into the empty folder during the build. */
static void another_split_stays(const char *split) {
  const rn_path out = rn_path_join(temp_path("out"), split);
  rn_build_target target = {.excluded_count = 0};
  CHECK_OK(&err, rn_file_make_folder(&err, out.text));
  if (!CHECK_OK(&err, rn_build_target_open(&err, out.text, &target))) return;
  write_split(target.work.text, "val");
  write_split(target.work.text, "train");
  write_split(out.text, split);
  CHECK(rn_build_target_publish(&err, &target) != RN_OK);
  CHECK(strstr(err.text, split) != NULL);
  rn_err_clear(&err);
  rn_build_target_abandon(&target);
  CHECK_EQUAL(rn_file_exists(file_in(out.text, "val").text), strcmp(split, "val") == 0);
  CHECK_EQUAL(rn_file_exists(file_in(out.text, "train").text), strcmp(split, "train") == 0);
}

/* The folder of a build that was killed is removed by the next build for the same output, but those
 * of a running build and of another output stay. */
static void work_folder_of_a_killed_build_is_removed(bool exists) {
  const char *out = temp_path(exists ? "killed_into" : "killed");
  rn_build_target killed = {.excluded_count = 0}, next = {.excluded_count = 0};
  if (exists) CHECK_OK(&err, rn_file_make_folder(&err, out));
  const pid_t child = fork();
  if (child == 0) _exit(rn_build_target_open(&err, out, &killed) == RN_OK ? 0 : 1);
  int how = 1;
  CHECK(waitpid(child, &how, 0) == child && how == 0);
  char begin[PATH_MAX];
  snprintf(begin, sizeof begin, "%s%s.building-", out, exists ? "/" : "");
  rn_path left = rn_temporary_name(begin, "");
  snprintf(strrchr(left.text, '-'), 24, "-%lld", (long long)child);
  rn_path running = left; /* process 1 always runs */
  snprintf(strrchr(running.text, '-'), 24, "-1");
  CHECK(rn_file_exists(left.text));
  if (!exists) CHECK_OK(&err, rn_file_make_folder(&err, running.text));
  if (!CHECK_OK(&err, rn_build_target_open(&err, out, &next))) return;
  CHECK(!rn_file_exists(left.text));
  CHECK(rn_file_exists(next.work.text));
  if (!exists) CHECK(rn_file_exists(running.text));
  rn_build_target_abandon(&next);
}

static void open_target(const char *out, bool exists, rn_build_target *target) {
  if (exists) CHECK_OK(&err, rn_file_make_folder(&err, out));
  CHECK_OK(&err, rn_build_target_open(&err, out, target));
  write_split(target->work.text, "val");
  write_split(target->work.text, "train");
}

/* NFS keeps a file that is still open in the work folder, as .nfsXXXX. */
static void a_work_folder_that_stays_does_not_cost_the_splits(void) {
  const char *out = temp_path("work_stays");
  rn_build_target target = {.excluded_count = 0};
  open_target(out, true, &target);
  failing_calls_set("remove", EBUSY, ".nfs", false);
  CHECK_OK(&err, rn_file_replace(&err, rn_path_join(target.work.text, ".nfs1").text, "open", 4));
  CHECK_OK(&err, rn_build_target_publish(&err, &target));
  failing_calls_set(NULL, 0, NULL, false);
  rn_build_target_abandon(&target);
  CHECK(rn_file_exists(file_in(out, "train").text) && rn_file_exists(file_in(out, "val").text));
}

static void splits_get_their_names(bool exists) {
  const rn_path out = rn_path_join(temp_path("out"), exists ? "empty" : "new");
  rn_build_target target = {.excluded_count = 0};
  open_target(out.text, exists, &target);
  CHECK_OK(&err, rn_build_target_publish(&err, &target));
  CHECK(rn_file_exists(file_in(out.text, "val").text));
  CHECK(rn_file_exists(file_in(out.text, "train").text));
}

/* If syncing the parent folder fails after the splits were renamed, the splits must be removed
 * again. */
static void nothing_stays_if_it_is_not_durable(bool exists) {
  const rn_path out = rn_path_join(temp_path("out"), exists ? "kept" : "undone");
  rn_build_target target = {.excluded_count = 0};
  open_target(out.text, exists, &target);
  const rn_path work = target.work;
  setenv("RETNET_FAULT", exists ? "file.sync_folder:1:EIO" : "file.sync_folder:1:EROFS", 1);
  CHECK_FAILS(&err, RN_ERR_IO, "fsync directory", rn_build_target_publish(&err, &target));
  unsetenv("RETNET_FAULT");
  rn_build_target_abandon(&target);
  CHECK_EQUAL(rn_file_exists(out.text), exists);
  CHECK(!rn_file_exists(file_in(out.text, "val").text));
  CHECK(!rn_file_exists(file_in(out.text, "train").text));
  CHECK(!rn_file_exists(work.text));
}

int main(void) {
  another_split_stays("val");
  another_split_stays("train");
  a_work_folder_that_stays_does_not_cost_the_splits();
  splits_get_their_names(true);
  splits_get_their_names(false);
  nothing_stays_if_it_is_not_durable(true);
  nothing_stays_if_it_is_not_durable(false);
  work_folder_of_a_killed_build_is_removed(false);
  work_folder_of_a_killed_build_is_removed(true);
  return check_result();
}
