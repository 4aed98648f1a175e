#include "comm/world/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"

/* The watchdog counts CHECKS checks without progress instead of measuring the elapsed time, so a
 * suspension of the process counts as at most one check. */
enum { CHECKS = 8, LINE_BYTES = 192, GRACE_S = 1 };

/* The marks of one rank, in memory shared by the ranks of its node. */
typedef struct heartbeat {
  rn_progress progress;
  _Atomic int64_t checked_ns; /* time of the last check by the rank's watchdog; stale if the process
                                 is stopped */
  _Atomic int printed; /* set when a rank prints the table; used only in the heartbeat of the node's
                          first rank */
  int rank;
} heartbeat;

struct rn_watchdog {
  const rn_world *world;
  double limit_s;
  MPI_Win window;
  heartbeat *node, *mine;
  pthread_t thread;
  pthread_mutex_t lock; /* guards `stopping`; `wake` signals its change */
  pthread_cond_t wake;
  bool stopping, running;
};

static double elapsed_s(int64_t ns) {
  return (double)(rn_progress_now_ns() - ns) * 1e-9;
}

/* True if the process is stopped (SIGSTOP): its watchdog has missed several checks.
 */
static bool is_stopped(const rn_watchdog *w, heartbeat *p) {
  return elapsed_s(atomic_load(&p->checked_ns)) > 3 * w->limit_s / CHECKS;
}

/* True if other ranks may be waiting for this rank: its process is stopped, or it is not itself in
 * a marked wait. */
static bool may_delay_others(const rn_watchdog *w, heartbeat *p) {
  return is_stopped(w, p) || !rn_progress_is_waiting(&p->progress);
}

/* Returns the rank that the others are probably waiting for: of the ranks that may delay others,
 * the one with the oldest mark. */
static int find_slowest(const rn_watchdog *w) {
  int slowest = 0;
  for (int r = 1; r < rn_world_node_ranks(w->world); r++) {
    heartbeat *candidate = &w->node[r], *best = &w->node[slowest];
    const bool delays = may_delay_others(w, candidate), best_delays = may_delay_others(w, best);
    const bool older =
        atomic_load(&candidate->progress.last_ns) < atomic_load(&best->progress.last_ns);
    if (delays != best_delays ? delays : older) slowest = r;
  }
  return slowest;
}

static int print_heartbeat(const rn_watchdog *w, char *line, size_t bytes, int r, bool slowest) {
  heartbeat *p = &w->node[r];
  char name[RN_PROGRESS_NAME_BYTES];
  rn_progress_name(&p->progress, name);
  return snprintf(line, bytes, "  rank %d has been in \"%s\" of step %lld for %.1f s%s%s\n",
                  p->rank, name, (long long)atomic_load(&p->progress.step),
                  elapsed_s(atomic_load(&p->progress.last_ns)),
                  is_stopped(w, p)                       ? "; the process is stopped"
                  : rn_progress_is_waiting(&p->progress) ? "; it is waiting for other ranks"
                                                         : "",
                  slowest ? " <- late" : "");
}

/* Uses write(), not stdio: the main thread may hang while it holds the lock of stderr. */
static void print_node(const rn_watchdog *watchdog) {
  const int ranks = rn_world_node_ranks(watchdog->world);
  const size_t bytes = (size_t)(ranks + 1) * LINE_BYTES + MPI_MAX_PROCESSOR_NAME;
  char *text = calloc(bytes, 1);
  if (text == NULL) return;
  const int slowest = find_slowest(watchdog);
  int used =
      snprintf(text, bytes, "error: no progress for run.watchdog_s = %g s; ranks on host %s:\n",
               watchdog->limit_s, rn_world_host(watchdog->world));
  for (int r = 0; r < ranks; r++) {
    used += print_heartbeat(watchdog, text + used, bytes - (size_t)used, r, r == slowest);
  }
  for (ssize_t at = 0, wrote; at < used; at += wrote) {
    wrote = write(STDERR_FILENO, text + at, (size_t)(used - at));
    if (wrote <= 0) break;
  }
  free(text);
}

/* Prints the table, waits GRACE_S for the other nodes to print theirs, and exits; the launcher then
 * ends the job. */
static void end_job(rn_watchdog *watchdog) {
  if (atomic_exchange(&watchdog->node[0].printed, 1) == 0) print_node(watchdog);
  sleep(GRACE_S);
  _exit(rn_status_exit_code(RN_ERR_WATCHDOG));
}

static struct timespec after(int64_t wait_ns) {
  const int64_t at = rn_progress_now_ns() + wait_ns;
  return (struct timespec){.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
}

static int64_t units_of_node(const rn_watchdog *w) {
  int64_t sum = 0;
  for (int r = 0; r < rn_world_node_ranks(w->world); r++) {
    sum += atomic_load(&w->node[r].progress.units);
  }
  return sum;
}

static void *watch(void *argument) {
  rn_watchdog *watchdog = argument;
  const int64_t check_ns = (int64_t)(watchdog->limit_s * 1e9 / CHECKS) + 1;
  int64_t last_units = -1;
  pthread_mutex_lock(&watchdog->lock);
  for (int idle_checks = 0; !watchdog->stopping;) {
    const struct timespec until = after(check_ns);
    atomic_store(&watchdog->mine->checked_ns, rn_progress_now_ns());
    pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    const int64_t units = units_of_node(watchdog);
    idle_checks = units == last_units ? idle_checks + 1 : 0;
    last_units = units;
    if (idle_checks >= CHECKS && !watchdog->stopping) end_job(watchdog);
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

static rn_status share_heartbeats(rn_err *err, rn_watchdog *watchdog) {
  MPI_Comm comm = rn_world_node_comm(watchdog->world);
  MPI_Aint bytes;
  int unit;
  RN_MPI_WAIT(err, MPI_Win_allocate_shared(sizeof(heartbeat), 1, MPI_INFO_NULL, comm,
                                           &watchdog->mine, &watchdog->window));
  RN_MPI(err, MPI_Win_shared_query(watchdog->window, 0, &bytes, &unit, &watchdog->node));
  memset(watchdog->mine, 0, sizeof(heartbeat));
  watchdog->mine->rank = rn_world_rank(watchdog->world);
  atomic_store(&watchdog->mine->checked_ns, rn_progress_now_ns());
  rn_progress_use(&watchdog->mine->progress);
  rn_progress_begin("start", 0);
  RN_MPI_WAIT(err, MPI_Barrier(comm));
  return RN_OK;
}

/* The new thread starts with all signals blocked: the main thread handles them. */
static rn_status start_thread(rn_err *err, rn_watchdog *watchdog) {
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&watchdog->lock, NULL);
  pthread_cond_init(&watchdog->wake, &clock);
  pthread_condattr_destroy(&clock);
  const int code = rn_thread_create(&watchdog->thread, watch, watchdog);
  watchdog->running = code == 0;
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "cannot create the watchdog thread: %s; set run.watchdog_s to 0 to run without it",
                 strerror(code));
}

rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out) {
  *out = NULL;
  if (!(limit_s > 0)) return RN_OK;
  rn_watchdog *watchdog;
  rn_status status = rn_alloc(err, "watchdog", 1, sizeof *watchdog, &watchdog);
  if ((status = rn_agree(err, world, status)) != RN_OK) {
    free(watchdog);
    return status;
  }
  watchdog->world = world;
  watchdog->limit_s = limit_s;
  watchdog->window = MPI_WIN_NULL;
  status = share_heartbeats(err, watchdog);
  if (status == RN_OK) status = rn_agree(err, world, start_thread(err, watchdog));
  if (status == RN_OK) {
    *out = watchdog;
  } else if (status != RN_ERR_MPI) {
    rn_watchdog_stop(&watchdog);
  }
  return status;
}

void rn_watchdog_stop(rn_watchdog **watchdog) {
  rn_watchdog *w = *watchdog;
  if (w == NULL) return;
  if (w->running) {
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
  }
  pthread_mutex_destroy(&w->lock);
  pthread_cond_destroy(&w->wake);
  rn_progress_use(NULL);
  rn_mpi_free_window(&w->window);
  free(w);
  *watchdog = NULL;
}
