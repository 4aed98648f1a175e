/* Checks that a run directory has one owner: a live owner keeps it, and exactly one job replaces a
 * dead owner. */
#include "data/run/run_lock.h"

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data/file/file.h"
#include "proto/base/progress.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;
static const char *folder;

/* An owner whose heartbeat does not change is considered dead after 60 s with `lively`, and after
 * 0.5 s with `brief`. */
static const rn_run_lock_rule lively = {.beat_s = 0.05, .dead_s = 60},
                              brief = {.beat_s = 0.05, .dead_s = 0.5};

static rn_path lock_file(void) {
  return rn_path_join(folder, "lock");
}

/* Writes a lock of another host, whose process cannot be looked up. */
static void write_foreign(const char *name, int beat) {
  char text[512];
  const int bytes = snprintf(text, sizeof text,
                             "host far\nkernel elsewhere/pid:[1]\nprocess 7\nstart 5\njob 42\n"
                             "since 2026-01-02 03:04:05.000000000\nbeat %012d\n",
                             beat);
  CHECK_OK(&err, rn_file_replace(&err, rn_path_join(folder, name).text, text, (size_t)bytes));
}

/* Starts a child that takes the lock, sends a byte when it has done so, and holds it until it is
 * killed. */
static pid_t hold(void) {
  int ends[2];
  char byte = 0;
  CHECK_EQUAL(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    rn_run_lock *lock = NULL;
    byte = rn_run_lock_take(&err, folder, lively, &lock) == RN_OK ? 'y' : 'n';
    if (write(ends[1], &byte, 1) != 1) _exit(1);
    for (;;) pause();
  }
  CHECK_EQUAL(read(ends[0], &byte, 1), 1);
  CHECK_EQUAL(byte, 'y');
  close(ends[0]);
  close(ends[1]);
  return child;
}

static void take_and_release(rn_run_lock_rule rule) {
  rn_run_lock *lock = NULL;
  CHECK_OK(&err, rn_run_lock_take(&err, folder, rule, &lock));
  CHECK(rn_file_exists(lock_file().text));
  CHECK_OK(&err, rn_run_lock_check(&err, lock));
  rn_run_lock_release(&lock);
  CHECK(!rn_file_exists(lock_file().text));
}

static void refused(const char *word) {
  rn_run_lock *lock = NULL;
  rn_err_clear(&err);
  CHECK_EQUAL(rn_run_lock_take(&err, folder, lively, &lock), RN_ERR_BUSY);
  CHECK(lock == NULL);
  CHECK(strstr(err.text, word) != NULL);
  rn_err_clear(&err);
}

static void living_owner_is_kept(void) {
  char word[64];
  const pid_t child = hold();
  snprintf(word, sizeof word, "process %d on ", (int)child);
  refused(word);
  CHECK(rn_file_exists(lock_file().text));
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

/* The lock of a killed owner is taken well before the time limit for a missing heartbeat. */
static void killed_owner_is_succeeded_at_once(void) {
  const pid_t child = hold();
  siginfo_t ended;
  kill(child, SIGKILL);
  waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT); /* dead, but still in the process table */
  take_and_release(lively);
  waitpid(child, NULL, 0);
}

/* If the owner is on this host, only its process matters: a stopped owner keeps the lock
 * although its heartbeat does not change, and take() does not wait for the heartbeat. */
static void living_owner_needs_no_heartbeat(void) {
  const rn_run_lock_rule patient = {.beat_s = 0.05, .dead_s = 1e6};
  rn_run_lock *lock = NULL;
  const pid_t child = hold();
  kill(child, SIGSTOP);
  waitpid(child, NULL, WUNTRACED);
  rn_err_clear(&err);
  CHECK_EQUAL(rn_run_lock_take(&err, folder, patient, &lock), RN_ERR_BUSY);
  rn_err_clear(&err);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

/* Counts the files lock.<id> of processes that want the lock and have written their process id. */
static int waiting_files(void) {
  glob_t found;
  struct stat info;
  int count = 0;
  const rn_path pattern = rn_path_join(folder, "lock.????????????????");
  if (glob(pattern.text, 0, NULL, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; i++) {
      count += stat(found.gl_pathv[i], &info) == 0 && info.st_size > 0;
    }
  }
  globfree(&found);
  return count;
}

/* A process that was killed while it waited for the lock leaves a file, which the next owner
 * removes. */
static void file_of_a_killed_watcher_is_removed(void) {
  rn_run_lock *lock = NULL;
  write_foreign("lock", 1);
  const pid_t child = fork();
  if (child == 0) _exit((int)rn_run_lock_take(&err, folder, lively, &lock));
  while (waiting_files() == 0) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  CHECK_EQUAL(waiting_files(), 1);
  take_and_release(brief);
  CHECK_EQUAL(waiting_files(), 0);
}

/* A process that was killed before it had written its record, or one of another host, leaves a file
 * whose process cannot be looked up. The file is removed once it is old. */
static void old_files_of_unknown_processes_are_removed(void) {
  static const char *const name[] = {"lock.0000000000000001", "lock.0000000000000002",
                                     "lock.0000000000000003", "lock.0000000000000004"};
  struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 3600}};
  for (int i = 0; i < 4; i++) {
    const rn_path path = rn_path_join(folder, name[i]);
    if (i % 2 == 0) write_foreign(name[i], 0);
    if (i % 2 == 1) CHECK_OK(&err, rn_file_replace(&err, path.text, "", 0));
    if (i < 2) CHECK_EQUAL(utimensat(AT_FDCWD, path.text, old, 0), 0);
  }
  take_and_release(lively);
  for (int i = 0; i < 4; i++) {
    const rn_path path = rn_path_join(folder, name[i]);
    CHECK(rn_file_exists(path.text) == (i >= 2));
    unlink(path.text);
  }
}

static void *set_soon(void *flag) {
  usleep(50000);
  atomic_store((atomic_bool *)flag, true);
  return NULL;
}

/* If the wait for a silent owner is stopped, take() returns without the lock, and the owner
 * keeps it. */
static void stopped_wait_leaves_the_owner(void) {
  atomic_bool stop = false;
  const rn_run_lock_rule patient = {.beat_s = 0.05, .dead_s = 1e6, .stop = &stop};
  rn_run_lock *lock = NULL;
  rn_err why = {0};
  pthread_t thread;
  write_foreign("lock", 1);
  if (!CHECK(pthread_create(&thread, NULL, set_soon, &stop) == 0)) return;
  CHECK_OK(&err, rn_run_lock_take(&err, folder, patient, &lock));
  pthread_join(thread, NULL);
  CHECK(lock == NULL);
  CHECK_EQUAL(waiting_files(), 0);
  char text[64] = "";
  FILE *file = fopen(lock_file().text, "r");
  CHECK(file != NULL && fgets(text, sizeof text, file) != NULL && strcmp(text, "host far\n") == 0);
  if (file != NULL) fclose(file);
  /* The wait is also stopped if `stop` is already true when the call begins. */
  CHECK_OK(&why, rn_run_lock_take(&why, folder, patient, &lock));
  CHECK(lock == NULL);
}

/* The lock of another host is taken if its heartbeat does not change. */
static void silent_owner_is_succeeded(void) {
  write_foreign("lock", 3);
  take_and_release(brief);
}

/* The id of a lock must not change when the heartbeat changes; without a lock, the id must be
 * empty. */
static void id_ignores_the_heartbeat(void) {
  char first[RN_RUN_LOCK_ID_BYTES], second[RN_RUN_LOCK_ID_BYTES];
  write_foreign("lock", 0);
  CHECK_OK(&err, rn_run_lock_read_id(&err, folder, first));
  write_foreign("lock", 1);
  CHECK_OK(&err, rn_run_lock_read_id(&err, folder, second));
  CHECK(first[0] != '\0' && strcmp(first, second) == 0);
  unlink(lock_file().text);
  CHECK_OK(&err, rn_run_lock_read_id(&err, folder, first));
  CHECK(first[0] == '\0');
}

/* Sets `beat` to the heartbeat in the lock file. */
static void read_beat(char beat[32]) {
  FILE *file = fopen(lock_file().text, "r");
  char line[200];
  while (file != NULL && fgets(line, sizeof line, file) != NULL) sscanf(line, "beat %31s", beat);
  if (file != NULL) fclose(file);
}

/* A job may hang while its heartbeat goes on: the watchdog must still see no progress. */
static void the_heartbeat_is_no_progress(void) {
  char first[32] = "", now[32] = "";
  rn_run_lock *lock = NULL;
  CHECK_OK(&err, rn_run_lock_take(&err, folder, lively, &lock));
  const int64_t units = rn_progress_units();
  read_beat(first);
  for (int changes = 0, i = 0; changes < 3 && i < 1000; i++) {
    usleep(10000);
    read_beat(now);
    if (strcmp(first, now) != 0) changes++;
    memcpy(first, now, sizeof first);
  }
  CHECK(atoi(now) >= 3);
  CHECK_EQUAL(rn_progress_units(), units);
  rn_run_lock_release(&lock);
}

/* The lock of another host is not taken while its heartbeat changes. */
static void moving_heartbeat_is_refused(void) {
  write_foreign("lock", 0);
  const pid_t child = fork();
  if (child == 0) {
    for (int beat = 1;; beat++) {
      write_foreign("lock", beat);
      usleep(20000);
    }
  }
  refused("process 7 on far (SLURM job 42)");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  unlink(lock_file().text);
  unlink(rn_path_join(folder, "lock.new").text);
}

/* Checks the files that a crash may leave: an empty lock, and the file of a successor that died
 * before it replaced the lock. */
static void remains_are_succeeded(void) {
  CHECK_OK(&err, rn_file_replace(&err, lock_file().text, "", 0));
  take_and_release(brief);
  rn_run_lock *lock = NULL;
  write_foreign("lock.after-0123456789abcdef", 0);
  CHECK_OK(&err, rn_run_lock_take(&err, folder, brief, &lock));
  CHECK(!rn_file_exists(rn_path_join(folder, "lock.after-0123456789abcdef").text));
  rn_run_lock_release(&lock);
}

/* Before a checkpoint is published, the loss of the lock must be noticed at once. */
static void a_lost_lock_is_noticed_before_a_save(void) {
  const rn_run_lock_rule slow = {.beat_s = 600, .dead_s = 2400};
  rn_run_lock *lock = NULL;
  CHECK_OK(&err, rn_run_lock_take(&err, folder, slow, &lock));
  CHECK_OK(&err, rn_run_lock_verify(&err, lock));
  unlink(lock_file().text);
  CHECK_OK(&err, rn_run_lock_check(&err, lock)); /* trusts the recent verification */
  CHECK_FAILS(&err, RN_ERR_BUSY, "removed", rn_run_lock_verify(&err, lock));
  CHECK_FAILS(&err, RN_ERR_BUSY, "removed", rn_run_lock_check(&err, lock));
  rn_run_lock_release(&lock);
}

/* Runs in each of several processes that try to take the lock of a dead owner. Returns 0 if the
 * process gets the lock, 1 if the lock is refused. */
static int contend(int start, int end) {
  char byte;
  rn_run_lock *lock = NULL;
  if (read(start, &byte, 1) < 0) return 9;
  const rn_status status = rn_run_lock_take(&err, folder, brief, &lock);
  if (status != RN_OK) return status == RN_ERR_BUSY ? 1 : 9;
  if (read(end, &byte, 1) < 0) return 9; /* holds the lock until all others have ended */
  const bool kept = rn_run_lock_check(&err, lock) == RN_OK;
  rn_run_lock_release(&lock);
  return kept ? 0 : 9;
}

static void exactly_one_succeeds(const char *fault) {
  enum { ROUNDS = 5, CONTENDERS = 8 };
  setenv("RETNET_FAULT", fault, 1);
  for (int round = 0; round < ROUNDS; round++) {
    int start[2], end[2], winners = 0, refused_ones = 0, code;
    pid_t child[CONTENDERS];
    write_foreign("lock", round);
    CHECK_EQUAL(pipe(start) + pipe(end), 0);
    for (int i = 0; i < CONTENDERS; i++) {
      if ((child[i] = fork()) != 0) continue;
      close(start[1]);
      close(end[1]);
      _exit(contend(start[0], end[0]));
    }
    close(start[1]); /* all children start now */
    for (int i = 0; i < CONTENDERS - 1; i++) {
      wait(&code);
      refused_ones += WIFEXITED(code) && WEXITSTATUS(code) == 1;
    }
    close(end[1]);
    wait(&code);
    winners += WIFEXITED(code) && WEXITSTATUS(code) == 0;
    CHECK_EQUAL(refused_ones, CONTENDERS - 1);
    CHECK_EQUAL(winners, 1);
    CHECK(!rn_file_exists(lock_file().text));
    close(start[0]);
    close(end[0]);
  }
  unsetenv("RETNET_FAULT");
}

/* Checks that the owner notices that its lock was removed or taken by another process, and that
 * it does not remove the lock of the other process. */
static void lost_lock_is_noticed(bool taken) {
  rn_run_lock *lock = NULL;
  CHECK_OK(&err, rn_run_lock_take(&err, folder, lively, &lock));
  if (taken) {
    write_foreign("lock", 0);
  } else {
    unlink(lock_file().text);
  }
  rn_status status = RN_OK;
  for (int i = 0; i < 1000 && status == RN_OK; i++) {
    status = rn_run_lock_check(&err, lock);
    usleep(20000);
  }
  CHECK_EQUAL(status, RN_ERR_BUSY);
  CHECK(strstr(err.text, taken ? "process 7 on far" : "removed") != NULL);
  rn_err_clear(&err);
  rn_run_lock_release(&lock);
  CHECK_EQUAL(rn_file_exists(lock_file().text), taken);
  unlink(lock_file().text);
}

static void folder_that_cannot_be_written(void) {
  rn_run_lock *lock = NULL;
  rn_err_clear(&err);
  CHECK(rn_run_lock_take(&err, "/proc/self", brief, &lock) != RN_OK);
  CHECK(strstr(err.text, "/proc/self/lock") != NULL);
  rn_err_clear(&err);
  CHECK_EQUAL(rn_run_lock_take(&err, rn_path_join(folder, "none").text, brief, &lock),
              RN_ERR_NOT_FOUND);
  rn_err_clear(&err);
}

int main(void) {
  folder = temp_folder();
  take_and_release(lively);
  living_owner_is_kept();
  take_and_release(lively);
  killed_owner_is_succeeded_at_once();
  living_owner_needs_no_heartbeat();
  take_and_release(lively);
  file_of_a_killed_watcher_is_removed();
  old_files_of_unknown_processes_are_removed();
  stopped_wait_leaves_the_owner();
  silent_owner_is_succeeded();
  moving_heartbeat_is_refused();
  id_ignores_the_heartbeat();
  the_heartbeat_is_no_progress();
  remains_are_succeeded();
  exactly_one_succeeds("lock.succeed:1-:slow=200");
  exactly_one_succeeds("lock.link:1-");
  exactly_one_succeeds("lock.follow:1-:slow=10");
  a_lost_lock_is_noticed_before_a_save();
  lost_lock_is_noticed(false);
  lost_lock_is_noticed(true);
  folder_that_cannot_be_written();
  return check_result();
}
