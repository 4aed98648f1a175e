/* Takes, keeps and releases the lock of a run directory; lock_record.h has the content of its
 * files. */
#include "data/run/run_lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/file/file.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"

#define LOCK_NAME "lock"
#define OWN_PREFIX "lock." /* lock.<id>: file of a process that tries to take the lock */
#define AFTER_PREFIX "lock.after-"

enum { MAX_CHAIN = 64 };

const rn_run_lock_rule rn_run_lock_default = {.beat_s = 5, .dead_s = 60};

struct rn_run_lock {
  rn_path folder, path;
  rn_run_lock_rule rule;
  rn_lock_record mine;
  int64_t beats;
  pthread_t thread;
  pthread_mutex_t mutex; /* guards `stopping` and access to the file */
  pthread_cond_t wake;   /* signals `stopping` */
  bool stopping, running;
  _Atomic double verified_s; /* time at which the file was last verified to be ours */
  atomic_bool lost;
};

/* Returns the seconds of a monotonic clock, which on Linux also runs while the host is suspended.
 */
static double clock_s(void) {
  struct timespec t;
#ifdef CLOCK_BOOTTIME
  clock_gettime(CLOCK_BOOTTIME, &t);
#else
  clock_gettime(CLOCK_MONOTONIC, &t);
#endif
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- files ---- */

static rn_path path_of(const rn_run_lock *l, const char *prefix, const char *id) {
  char name[64];
  snprintf(name, sizeof name, "%s%s", prefix, id);
  return rn_path_join(l->folder.text, name);
}

/* Atomically gives our file the additional name `to`; sets *won to false if the name already
 * exists. */
static rn_status make_name(rn_err *err, const rn_run_lock *l, const char *from, const char *to,
                           bool *won) {
  struct stat info;
  const bool no_links = rn_fault_now("lock.link");
  const int why_not = no_links ? EPERM : link(from, to) == 0 ? 0 : errno;
  /* A network file system may create the link but lose the reply; the link count is then 2. */
  *won = why_not == 0 || (!no_links && stat(from, &info) == 0 && info.st_nlink == 2);
  if (*won || why_not == EEXIST) return RN_OK;
  const bool unsupported =
      rn_file_is_unsupported(why_not) || why_not == EPERM || why_not == EMLINK || why_not == EXDEV;
  if (!unsupported) return rn_file_fail(err, "link", to, why_not);
  rn_err why = {0};
  *won = rn_lock_record_create(&why, to, l->mine.text) == RN_OK;
  if (*won || rn_file_exists(to)) return RN_OK;
  return rn_fail(err, why.status, "%s", why.text);
}

/* On entry *out is the process in `lock`; on return, its last successor. A successor is a process
 * that has taken over but has not yet renamed its file to `lock`. */
static rn_status follow_successors(rn_err *err, const rn_run_lock *l, rn_lock_record *out) {
  for (int i = 0; rn_lock_record_is_there(out) && i < MAX_CHAIN; i++) {
    rn_lock_record next;
    (void)rn_fault_now("lock.follow"); /* lets a test widen the gap between two reads */
    RN_TRY(err, rn_lock_record_read(err, path_of(l, AFTER_PREFIX, out->id).text, &next));
    if (!rn_lock_record_is_there(&next)) break;
    *out = next;
  }
  return RN_OK;
}

/*
 * Finds the owner: the process in `lock`, or the last of its successors. If a takeover completes
 * between two reads, the name of the successor no longer exists, and the search would return the
 * dead owner. Therefore `lock` is read again, and the search is repeated if it has changed.
 */
static rn_status find_owner(rn_err *err, const rn_run_lock *l, rn_lock_record *out) {
  rn_lock_record first, again;
  RN_TRY(err, rn_lock_record_read(err, l->path.text, &first));
  for (int i = 0; i < MAX_CHAIN; i++, first = again) {
    *out = first;
    RN_TRY(err, follow_successors(err, l, out));
    RN_TRY(err, rn_lock_record_read(err, l->path.text, &again));
    if (strcmp(again.id, first.id) == 0) break;
  }
  return RN_OK;
}

/*
 * True if the file belongs to a process that ended before it got the lock. It is unknown whether a
 * process of another host has ended, or a process that was killed before it wrote its record. The
 * file of such a process counts as left behind if the lock file is newer than it by more than
 * WAITS * dead_s, because no process waits that long. Both times are from the clock of the file
 * system.
 */
static bool is_left(const rn_run_lock *l, const char *path) {
  enum { WAITS = 10 };
  rn_lock_record r;
  struct stat lock, left;
  if (rn_lock_record_read(NULL, path, &r) != RN_OK || !rn_lock_record_is_there(&r)) return false;
  if (rn_process_is_local(&r.process)) return rn_process_has_ended(r.process.pid, r.process.start);
  return stat(l->path.text, &lock) == 0 && stat(path, &left) == 0 &&
         difftime(lock.st_mtime, left.st_mtime) > WAITS * l->rule.dead_s;
}

/* Removes the `lock.after-` names of completed takeovers, and the files of ended processes that
 * tried to take the lock. Only the owner may call this function. */
static void clean_up(const rn_run_lock *l) {
  DIR *folder = opendir(l->folder.text);
  const struct dirent *item;
  if (folder == NULL) return;
  while ((item = readdir(folder)) != NULL) {
    const char *name = item->d_name;
    const rn_path path = rn_path_join(l->folder.text, name);
    const bool after = strncmp(name, AFTER_PREFIX, sizeof AFTER_PREFIX - 1) == 0;
    const bool own =
        strncmp(name, OWN_PREFIX, sizeof OWN_PREFIX - 1) == 0 &&
        strspn(name + sizeof OWN_PREFIX - 1, "0123456789abcdef") == RN_RUN_LOCK_ID_BYTES - 1;
    if ((after && strstr(name, l->mine.id) == NULL) || (own && is_left(l, path.text))) {
      unlink(path.text);
    }
  }
  closedir(folder);
}

/* ---- taking the lock ---- */

/* Takes over the lock of `dead`; sets *won to false if another process did so first. */
static rn_status succeed(rn_err *err, const rn_run_lock *l, const char *own,
                         const rn_lock_record *dead, bool *won) {
  const rn_path name = path_of(l, AFTER_PREFIX, dead->id);
  rn_lock_record owner;
  RN_TRY(err, make_name(err, l, own, name.text, won));
  if (!*won) return RN_OK;
  rn_status status = find_owner(err, l, &owner);
  *won = status == RN_OK && strcmp(owner.id, l->mine.id) == 0;
  if (*won) status = rn_file_rename(err, own, l->path.text);
  if (!*won || status != RN_OK) unlink(name.text);
  return status;
}

static rn_status refuse(rn_err *err, const rn_run_lock *l, const rn_lock_record *owner) {
  char name[RN_LOCK_RECORD_BYTES];
  rn_lock_record_name(owner, name, sizeof name);
  return rn_fail(err, RN_ERR_BUSY,
                 "%s is in use by %s: wait until it ends, stop it, or choose another run.dir",
                 l->folder.text, name);
}

static bool is_asked_to_stop(const rn_run_lock *l) {
  return l->rule.stop != NULL && atomic_load(l->rule.stop);
}

/*
 * Watches an owner. Sets *dead to true if the owner is dead, and to false if another process
 * becomes the owner or the wait is stopped; fails if the owner is alive. A live owner on this host
 * is detected without waiting for a heartbeat, but only at the second check, because at the first
 * check the owner may be about to release the lock.
 */
static rn_status watch(rn_err *err, const rn_run_lock *l, const rn_lock_record *owner, bool *dead) {
  const double begin_s = clock_s(), look_s = l->rule.beat_s / 10;
  const rn_process *process = &owner->process;
  const bool local = rn_process_is_local(process);
  const bool known = local && rn_process_is_alive(process);
  const struct timespec look = {(time_t)look_s, (long)((look_s - (double)(time_t)look_s) * 1e9)};
  for (int reads = 1;; reads++) {
    rn_lock_record now;
    *dead = local && rn_process_has_ended(process->pid, process->start);
    if (*dead) return RN_OK;
    RN_TRY(err, find_owner(err, l, &now));
    if (strcmp(now.id, owner->id) != 0 || is_asked_to_stop(l)) return RN_OK;
    if (strcmp(now.text, owner->text) != 0 || (known && reads > 1)) return refuse(err, l, owner);
    *dead = clock_s() - begin_s > l->rule.dead_s;
    if (*dead) return RN_OK;
    if (reads == 1 && !known) {
      char name[RN_LOCK_RECORD_BYTES];
      rn_lock_record_name(owner, name, sizeof name);
      rn_log_info(
          "waiting for a heartbeat of the owner of %s, which is %s; if there is none for %.0f s, "
          "this job takes over the lock",
          l->path.text, name, l->rule.dead_s);
    }
    nanosleep(&look, NULL);
    rn_progress_unit();
  }
}

/* Tries to take the lock until this process owns it (*won is true) or the wait is stopped (*won is
 * false); fails if a live owner is found. `own` is the path of the file of this process. */
static rn_status contend(rn_err *err, const rn_run_lock *l, const char *own, bool *won) {
  *won = false;
  while (!*won && !is_asked_to_stop(l)) {
    rn_lock_record owner, still;
    RN_TRY(err, find_owner(err, l, &owner));
    if (!rn_lock_record_is_there(&owner)) {
      RN_TRY(err, make_name(err, l, own, l->path.text, won));
      continue;
    }
    bool dead;
    RN_TRY(err, watch(err, l, &owner, &dead));
    RN_TRY(err, find_owner(err, l, &still));
    if (!dead || strcmp(still.id, owner.id) != 0) continue;
    (void)rn_fault_now("lock.succeed"); /* lets a test delay the takeover here */
    RN_TRY(err, succeed(err, l, own, &owner, won));
  }
  return RN_OK;
}

/* ---- holding the lock ---- */

/*
 * Increments the heartbeat if the file is ours, else sets `lost`. Does nothing if the file cannot
 * be read or written, because the caller's next write then reports the error. The caller holds
 * `mutex`.
 */
static void verify(rn_run_lock *l) {
  rn_lock_record now;
  const double at_s = clock_s();
  const int fd = open(l->path.text, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    /* If the whole folder is missing, the file system has failed, and no other process took the
     * lock. */
    if (errno == ENOENT && rn_file_exists(l->folder.text)) atomic_store(&l->lost, true);
    return;
  }
  const bool used = rn_lock_record_read_open(fd, &now);
  if (used && strcmp(now.id, l->mine.id) != 0) {
    atomic_store(&l->lost, true);
    close(fd);
    return;
  }
  const bool good = used && rn_lock_record_write_beat(fd, &l->mine, ++l->beats);
  if (close(fd) == 0 && good) atomic_store(&l->verified_s, at_s);
}

static void *beat(void *self) {
  rn_run_lock *l = self;
  pthread_mutex_lock(&l->mutex);
  while (!l->stopping && !atomic_load(&l->lost)) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double at_s = (double)until.tv_nsec * 1e-9 + l->rule.beat_s;
    until.tv_sec += (time_t)at_s;
    until.tv_nsec = (long)((at_s - (double)(time_t)at_s) * 1e9);
    pthread_cond_timedwait(&l->wake, &l->mutex, &until);
    if (!l->stopping) verify(l);
  }
  pthread_mutex_unlock(&l->mutex);
  return NULL;
}

static rn_status start_thread(rn_err *err, rn_run_lock *l) {
  const int code = rn_thread_create(&l->thread, beat, l);
  l->running = code == 0;
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY, "cannot start the heartbeat thread of %s: %s", l->path.text,
                 strerror(code));
}

/* Fails, naming the new owner. */
static rn_status fail_lost(rn_err *err, const rn_run_lock *l) {
  rn_err why = {0};
  rn_lock_record owner = {0};
  char name[RN_LOCK_RECORD_BYTES] = "its file was removed";
  (void)find_owner(&why, l, &owner);
  if (rn_lock_record_is_there(&owner)) rn_lock_record_name(&owner, name, sizeof name);
  return rn_fail(
      err, RN_ERR_BUSY,
      "this job lost its lock %s%s%s; the job stops without writing to the run directory",
      l->path.text, rn_lock_record_is_there(&owner) ? ", which now belongs to " : ": ", name);
}

rn_status rn_run_lock_verify(rn_err *err, rn_run_lock *l) {
  if (l == NULL) return RN_OK;
  pthread_mutex_lock(&l->mutex);
  if (!atomic_load(&l->lost)) verify(l);
  pthread_mutex_unlock(&l->mutex);
  return atomic_load(&l->lost) ? fail_lost(err, l) : RN_OK;
}

rn_status rn_run_lock_check(rn_err *err, rn_run_lock *l) {
  if (l == NULL) return RN_OK;
  if (atomic_load(&l->lost)) return fail_lost(err, l);
  if (clock_s() - atomic_load(&l->verified_s) < l->rule.dead_s / 4) return RN_OK;
  return rn_run_lock_verify(err, l);
}

rn_status rn_run_lock_read_id(rn_err *err, const char *run_dir, char id[RN_RUN_LOCK_ID_BYTES]) {
  rn_lock_record owner;
  const rn_status status = rn_lock_record_read(err, rn_path_join(run_dir, LOCK_NAME).text, &owner);
  memcpy(id, owner.id, sizeof owner.id); /* empty after an error */
  return status;
}

static void free_lock(rn_run_lock **lock) {
  pthread_mutex_destroy(&(*lock)->mutex);
  pthread_cond_destroy(&(*lock)->wake);
  free(*lock);
  *lock = NULL;
}

rn_status rn_run_lock_take(rn_err *err, const char *run_dir, rn_run_lock_rule rule,
                           rn_run_lock **out) {
  rn_run_lock *l;
  pthread_condattr_t clock;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "lock of run.dir", 1, sizeof *l, &l));
  snprintf(l->folder.text, sizeof l->folder.text, "%s", run_dir);
  l->path = rn_path_join(run_dir, LOCK_NAME);
  l->rule = rule;
  l->mine = rn_lock_record_of_self();
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&l->mutex, NULL);
  pthread_cond_init(&l->wake, &clock);
  pthread_condattr_destroy(&clock);
  const rn_path own = path_of(l, OWN_PREFIX, l->mine.id);
  bool won = false;
  rn_status status = rn_lock_record_create(err, own.text, l->mine.text);
  if (status == RN_OK) status = contend(err, l, own.text, &won);
  unlink(own.text);
  if (won && status == RN_OK) {
    clean_up(l);
    atomic_store(&l->verified_s, clock_s());
    status = start_thread(err, l);
    if (status != RN_OK) unlink(l->path.text);
  }
  if (!won || status != RN_OK) free_lock(&l);
  *out = l;
  return status;
}

void rn_run_lock_release(rn_run_lock **lock) {
  rn_run_lock *l = *lock;
  if (l == NULL) return;
  pthread_mutex_lock(&l->mutex);
  l->stopping = true;
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->mutex);
  pthread_join(l->thread, NULL);
  /* Creates the name that a successor would create, so that no process can take over between the
   * check and the removal. */
  const rn_path name = path_of(l, AFTER_PREFIX, l->mine.id);
  const rn_lock_record leaving = rn_lock_record_of_self();
  rn_lock_record now;
  if (rn_run_lock_check(NULL, l) == RN_OK &&
      rn_lock_record_create(NULL, name.text, leaving.text) == RN_OK) {
    if (rn_lock_record_read(NULL, l->path.text, &now) == RN_OK && strcmp(now.id, l->mine.id) == 0) {
      if (unlink(l->path.text) != 0 && errno != ENOENT) {
        rn_log_warn("cannot remove %s: %s; the next job will take over the lock", l->path.text,
                    strerror(errno));
      }
    }
    unlink(name.text);
  }
  free_lock(lock);
}
