#include "comm/world/collective_wait.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "proto/base/affinity.h"
#include "proto/base/progress.h"

/* The pause between two rounds is 1/WAIT_PARTS of the time waited so far, but at most
 * MAX_PAUSE_MS. */
enum { MAX_PAUSE_MS = 200, WAIT_PARTS = 8 };

static void pause_since(int64_t begin_ns) {
  int64_t ms = 1 + (rn_progress_now_ns() - begin_ns) / 1000000 / WAIT_PARTS;
  if (ms > MAX_PAUSE_MS) ms = MAX_PAUSE_MS;
  const struct timespec pause = {0, (long)ms * 1000000L};
  nanosleep(&pause, NULL);
}

/* Waits in rounds until no rank is working. Each round in which the ranks have counted new units of
 * progress counts one unit on every rank. `counted` is the number of these units; they are
 * subtracted from the sum, otherwise a round would mistake them for progress. */
static rn_status wait_in_rounds(rn_err *err, rn_world *world, bool (*is_working)(void *),
                                void *context, rn_collective_stop *stop) {
  const int64_t begin_ns = rn_progress_now_ns();
  for (int64_t seen = -1, counted = 0;;) {
    const bool working = is_working(context);
    int64_t sums[3] = {working, rn_progress_units() - counted, stop != NULL && stop->asked()};
    RN_TRY(err, rn_world_sum(err, world, sums, 3));
    if (stop != NULL && sums[2] != 0) atomic_store(&stop->given, true);
    if (sums[0] == 0) return RN_OK;
    if (sums[1] != seen) {
      rn_progress_unit();
      counted++;
    }
    seen = sums[1];
    rn_progress_wait(!working);
    pause_since(begin_ns);
    rn_progress_wait(false);
  }
}

rn_status rn_collective_wait(rn_err *err, rn_world *world, bool (*is_working)(void *),
                             void *context) {
  return wait_in_rounds(err, world, is_working, context, NULL);
}

typedef struct job {
  rn_status (*work)(rn_err *err, void *context);
  void *context;
  rn_err *err;
  rn_status status;
  atomic_bool working;
} job;

static void *run_job(void *argument) {
  job *j = argument;
  j->status = j->work(j->err, j->context);
  atomic_store(&j->working, false);
  return NULL;
}

static bool is_job_working(void *context) {
  job *j = context;
  return atomic_load(&j->working);
}

/* Starts the thread with all signals blocked: the main thread handles them. */
static bool start_job(pthread_t *thread, job *j) {
  return rn_thread_create(thread, run_job, j) == 0;
}

/* Joins the thread, which uses memory of the caller. If MPI has failed, the other ranks wait until
 * this rank aborts the job. The work may take much longer, for example if the file system hangs:
 * after LAST_MS, this function aborts the job itself. */
static void join_job(pthread_t thread, job *j, rn_status wait_status, const rn_err *failed) {
  enum { LAST_MS = 1000, POLL_MS = 10 };
  for (int ms = 0; wait_status != RN_OK && is_job_working(j); ms += POLL_MS) {
    if (ms == LAST_MS) rn_world_abort(failed);
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
  }
  pthread_join(thread, NULL);
}

/* If the thread cannot be created, rank 0 does the work in this function before its first round,
 * and the other ranks wait in their first round. */
rn_status rn_collective_wait_for_root_or_stop(rn_err *err, rn_world *world,
                                              rn_status (*work)(rn_err *err, void *context),
                                              void *context, rn_collective_stop *stop) {
  rn_err own = {0}, failed = {0};
  job j = {.work = work, .context = context, .err = &own};
  pthread_t thread;
  bool started = false;
  if (rn_world_rank(world) == 0) {
    atomic_store(&j.working, true);
    started = start_job(&thread, &j);
    if (!started) run_job(&j);
  }
  const rn_status wait_status = wait_in_rounds(&failed, world, is_job_working, &j, stop);
  if (started) join_job(thread, &j, wait_status, &failed);
  *err = wait_status != RN_OK ? failed : own;
  return wait_status != RN_OK ? wait_status : j.status;
}

rn_status rn_collective_wait_for_root(rn_err *err, rn_world *world,
                                      rn_status (*work)(rn_err *err, void *context),
                                      void *context) {
  if (rn_world_size(world) == 1) return work(err, context);
  return rn_collective_wait_for_root_or_stop(err, world, work, context, NULL);
}
