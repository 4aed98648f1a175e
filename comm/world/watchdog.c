#include "comm/world/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "comm/world/rank_reports.h"
#include "comm/world/watchdog_silence.h"
#include "comm/world/watchdog_table.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/stack_dump.h"

/* The thread of the watchdog allocates no memory: the main thread may hang while it holds the lock
 * of malloc.
 *
 * The watchdog counts CHECKS checks without progress instead of measuring the elapsed time, so a
 * suspension of the process counts as at most one check. A rank whose watchdog has not reported for
 * SILENT_CHECKS checks is considered stopped, dead or disconnected. */
enum {
  CHECKS = 32,
  SILENT_CHECKS = 12,
  GRACE_S = 1,
  ANSWER_MS = 1000,
  STACK_MS = 500,
  MAX_POLL_MS = 60000
};

/* What the other ranks of a node can read about one rank, in memory that they share. */
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
  rn_rank_reports *reports; /* NULL: all ranks are on one node */
  rn_rank_state *states;    /* [world size] workspace for the table */
  bool *warned;             /* [world size] ranks about which rn_watchdog_silence_warn has warned */
  pthread_t thread;
  int stop_event; /* becomes readable when the thread must end; -1: not open */
  bool running;
};

static double elapsed_s(int64_t ns) {
  return (double)(rn_progress_now_ns() - ns) * 1e-9;
}

/* ---- the table ---- */

static double silent_limit_s(const rn_watchdog *w) {
  return w->limit_s * SILENT_CHECKS / CHECKS;
}

/* Returns the state of rank `r` of this node. */
static rn_rank_state state_on_node(const rn_watchdog *w, int r) {
  heartbeat *p = &w->node[r];
  const double silent_s = elapsed_s(atomic_load(&p->checked_ns));
  rn_rank_state out = {.rank = p->rank,
                       .step = atomic_load(&p->progress.step),
                       .idle_s = elapsed_s(atomic_load(&p->progress.last_ns)),
                       .silent_s = silent_s > silent_limit_s(w) ? silent_s : 0,
                       .waits = rn_progress_is_waiting(&p->progress)};
  rn_progress_name(&p->progress, out.operation);
  return out;
}

static int list_node(const rn_watchdog *w) {
  const int ranks = rn_world_node_ranks(w->world);
  for (int r = 0; r < ranks; r++) w->states[r] = state_on_node(w, r);
  return ranks;
}

static rn_rank_state state_elsewhere(const rn_watchdog *w, int rank) {
  const rn_rank_report report = rn_rank_reports_get(w->reports, rank);
  const double silent_s = report.silent_s < 0 ? w->limit_s : report.silent_s;
  rn_rank_state out = {.rank = rank,
                       .host = report.host,
                       .step = report.step,
                       .idle_s = report.idle_s,
                       .silent_s = silent_s > silent_limit_s(w) ? silent_s : 0,
                       .waits = report.waits};
  memcpy(out.operation, report.operation, sizeof out.operation);
  return out;
}

/* For rank 0. Writes the states of all ranks of the job to w->states and returns their number;
 * returns 0 if no rank of another node has ever reported. */
static int list_job(const rn_watchdog *w) {
  const int ranks = rn_world_size(w->world), node_ranks = rn_world_node_ranks(w->world);
  int on_node = 0, heard = 0;
  for (int rank = 0; rank < ranks; rank++) {
    if (on_node < node_ranks && w->node[on_node].rank == rank) {
      w->states[rank] = state_on_node(w, on_node++);
      w->states[rank].host = rn_world_host(w->world);
    } else {
      w->states[rank] = state_elsewhere(w, rank);
      heard += rn_rank_reports_get(w->reports, rank).silent_s >= 0;
    }
  }
  return heard > 0 ? ranks : 0;
}

static void print_node(const rn_watchdog *w) {
  char title[160 + MPI_MAX_PROCESSOR_NAME];
  int count = list_node(w);
  const double root_s = w->reports != NULL ? rn_rank_reports_root_silent_s(w->reports) : -1;
  if (root_s > silent_limit_s(w) && w->node[0].rank != 0) {
    w->states[count++] = (rn_rank_state){
        .rank = 0, .host = rn_rank_reports_root_host(w->reports), .silent_s = root_s};
  }
  snprintf(title, sizeof title, "error: no progress for run.watchdog_s = %g s; ranks on host %s:\n",
           w->limit_s, rn_world_host(w->world));
  rn_watchdog_table_print(title, w->states, count);
}

static void print_job(const rn_watchdog *w) {
  char title[120];
  const int count = list_job(w);
  if (count == 0) {
    print_node(w);
    return;
  }
  snprintf(title, sizeof title, "error: no progress for run.watchdog_s = %g s; ranks of the job:\n",
           w->limit_s);
  rn_watchdog_table_print(title, w->states, count);
}

/* ---- the end of a job ---- */

/* Prints the stack of this rank if it is the rank for which the others of its node probably
 * wait. */
static void print_stack(const rn_watchdog *w) {
  char line[160 + MPI_MAX_PROCESSOR_NAME];
  const int count = list_node(w), slowest = rn_watchdog_table_slowest(w->states, count);
  if (w->states[slowest].rank != w->mine->rank || w->states[slowest].waits) return;
  int used = snprintf(line, sizeof line, "stack of rank %d on host %s, innermost call first:\n",
                      w->mine->rank, rn_world_host(w->world));
  rn_watchdog_write(line, (size_t)used);
  if (rn_stack_dump_print(STACK_MS)) return;
  used = snprintf(line, sizeof line,
                  "  not available: the main thread does not respond; its state in /proc is %c%s\n",
                  rn_stack_dump_state(),
                  rn_stack_dump_state() == 'D' ? " (a file operation hangs)" : "");
  rn_watchdog_write(line, (size_t)used);
}

/* Asks rank 0 to print the table of the job. Returns true if rank 0 reports within ANSWER_MS that
 * it has printed the table. */
static bool root_prints(const rn_watchdog *w) {
  const double silent_s = rn_rank_reports_root_silent_s(w->reports);
  if (silent_s < 0 || silent_s > silent_limit_s(w)) return false;
  for (int ms = 0; ms < ANSWER_MS; ms += 50) {
    struct pollfd answer = {.fd = rn_rank_reports_descriptor(w->reports), .events = POLLIN};
    rn_rank_reports_exchange(w->reports, &w->mine->progress, true);
    if (rn_rank_reports_printed(w->reports)) return true;
    poll(&answer, 1, 50);
  }
  return false;
}

static void print_table(const rn_watchdog *w) {
  if (w->reports == NULL || w->mine->rank == 0) {
    if (atomic_exchange(&w->node[0].printed, 1) != 0) return;
    if (w->reports == NULL) {
      print_node(w);
      return;
    }
    print_job(w);
    rn_rank_reports_confirm_printed(w->reports);
  } else if (!root_prints(w) && atomic_exchange(&w->node[0].printed, 1) == 0) {
    print_node(w);
  }
}

/* Prints the table, waits GRACE_S for the output of the other ranks, and exits; the launcher then
 * ends the job. */
static void end_job(const rn_watchdog *watchdog) {
  print_table(watchdog);
  print_stack(watchdog);
  sleep(GRACE_S);
  _exit(rn_status_exit_code(RN_ERR_WATCHDOG));
}

/* ---- the thread ---- */

/* Returns a number that grows if any rank of the job makes progress, as far as this rank knows. */
static int64_t units_of_job(const rn_watchdog *w) {
  int64_t sum = w->reports != NULL ? rn_rank_reports_units(w->reports) : 0;
  for (int r = 0; r < rn_world_node_ranks(w->world); r++) {
    sum += atomic_load(&w->node[r].progress.units);
  }
  return sum;
}

/* True if another rank has told this one that the job makes no progress. */
static bool is_told(const rn_watchdog *w) {
  return w->reports != NULL &&
         (rn_rank_reports_expired(w->reports) || rn_rank_reports_printed(w->reports));
}

/* Exchanges reports, then waits until the next check is due, and receives the reports that arrive
 * meanwhile. Returns false if the thread must end. */
static bool wait_for_check(const rn_watchdog *w) {
  const int64_t end_ns = rn_progress_now_ns() + (int64_t)(w->limit_s * 1e9 / CHECKS) + 1;
  const int socket = w->reports != NULL ? rn_rank_reports_descriptor(w->reports) : -1;
  atomic_store(&w->mine->checked_ns, rn_progress_now_ns());
  if (w->reports != NULL) rn_rank_reports_exchange(w->reports, &w->mine->progress, false);
  while (!is_told(w)) {
    struct pollfd events[] = {{.fd = w->stop_event, .events = POLLIN},
                              {.fd = socket, .events = POLLIN}};
    const int64_t left_ms = (end_ns - rn_progress_now_ns() + 999999) / 1000000;
    if (left_ms <= 0) break;
    poll(events, 2, left_ms < MAX_POLL_MS ? (int)left_ms : MAX_POLL_MS);
    if (events[0].revents != 0) return false;
    if (events[1].revents != 0) rn_rank_reports_receive(w->reports);
  }
  return true;
}

/* Runs on rank 0. Warns about silent hosts. Gives no warning if the last check took more than twice
 * as long as intended: this process was then suspended, perhaps with the whole job, and the other
 * ranks may not have had time to report. */
static void warn_of_silence(const rn_watchdog *w) {
  const bool on_time = elapsed_s(atomic_load(&w->mine->checked_ns)) < 2 * w->limit_s / CHECKS;
  if (!on_time) return;
  rn_watchdog_silence_warn(w->reports, rn_world_size(w->world), silent_limit_s(w), w->warned);
}

static void *watch(void *argument) {
  rn_watchdog *watchdog = argument;
  int64_t last_units = -1;
  for (int idle_checks = 0; wait_for_check(watchdog);) {
    const int64_t units = units_of_job(watchdog);
    if (watchdog->reports != NULL && watchdog->mine->rank == 0) warn_of_silence(watchdog);
    idle_checks = units == last_units ? idle_checks + 1 : 0;
    last_units = units;
    if (idle_checks >= CHECKS || is_told(watchdog)) end_job(watchdog);
  }
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
  rn_stack_dump_prepare();
  watchdog->stop_event = eventfd(0, EFD_CLOEXEC);
  const int code =
      watchdog->stop_event < 0 ? errno : rn_thread_create(&watchdog->thread, watch, watchdog);
  watchdog->running = code == 0;
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "cannot create the watchdog thread: %s; set run.watchdog_s to 0 to run without it",
                 strerror(code));
}

static rn_status allocate(rn_err *err, const rn_world *world, rn_watchdog **out) {
  RN_TRY(err, rn_alloc(err, "watchdog", 1, sizeof **out, out));
  (*out)->stop_event = -1;
  (*out)->window = MPI_WIN_NULL;
  const size_t ranks = (size_t)rn_world_size(world);
  RN_TRY(err, rn_alloc(err, "states of the ranks", ranks, sizeof *(*out)->states, &(*out)->states));
  return rn_alloc(err, "states of the ranks", ranks, sizeof *(*out)->warned, &(*out)->warned);
}

rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out) {
  *out = NULL;
  if (!(limit_s > 0)) return RN_OK;
  rn_watchdog *watchdog = NULL;
  rn_status status = rn_agree(err, world, allocate(err, world, &watchdog));
  if (status != RN_OK) {
    rn_watchdog_stop(&watchdog);
    return status;
  }
  watchdog->world = world;
  watchdog->limit_s = limit_s;
  status = share_heartbeats(err, watchdog);
  if (status == RN_OK) status = rn_rank_reports_create(err, world, &watchdog->reports);
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
    eventfd_write(w->stop_event, 1);
    pthread_join(w->thread, NULL);
  }
  if (w->stop_event >= 0) close(w->stop_event);
  rn_rank_reports_destroy(&w->reports);
  rn_progress_use(NULL);
  rn_mpi_free_window(&w->window);
  free(w->states);
  free(w->warned);
  free(w);
  *watchdog = NULL;
}
