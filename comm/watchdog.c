#include "comm/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"

/* The limit is counted in looks, so that a process that slept through them loses one only. */
enum { LOOKS = 8, NAME_WORDS = 6, LINE_BYTES = 160, GRACE_S = 1 };

/* One rank's last tick, in memory that the ranks of its node share. */
typedef struct pulse {
  _Atomic int64_t ticks, step, last_ns;
  _Atomic uint64_t name[NAME_WORDS];
  _Atomic int told; /* of the node's first rank: somebody prints the table */
  int rank;
} pulse;

struct rn_watchdog {
  const rn_world *world;
  double limit_s;
  MPI_Win window;
  pulse *node, *mine;
  pthread_t thread;
  pthread_mutex_t lock; /* of `stopping`, which `wake` announces */
  pthread_cond_t wake;
  bool stopping, running;
};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int print_pulse(char *line, size_t bytes, pulse *p, int64_t most_ticks) {
  uint64_t words[NAME_WORDS];
  for (int i = 0; i < NAME_WORDS; i++) words[i] = atomic_load(&p->name[i]);
  const double idle_s = (double)(now_ns() - atomic_load(&p->last_ns)) * 1e-9;
  return snprintf(line, bytes, "  rank %d has not gone past \"%.*s\" of step %lld for %.1f s%s\n",
                  p->rank, (int)sizeof words, (const char *)words, (long long)atomic_load(&p->step),
                  idle_s, atomic_load(&p->ticks) < most_ticks ? " <- behind" : "");
}

/* Not by stdio: the main thread may hang while it holds the lock of stderr. */
static void print_node(const rn_watchdog *watchdog) {
  const int ranks = rn_world_node_ranks(watchdog->world);
  const size_t bytes = (size_t)(ranks + 1) * LINE_BYTES + MPI_MAX_PROCESSOR_NAME;
  char *text = calloc(bytes, 1);
  if (text == NULL) return;
  int64_t most_ticks = 0;
  for (int r = 0; r < ranks; r++) {
    const int64_t ticks = atomic_load(&watchdog->node[r].ticks);
    if (ticks > most_ticks) most_ticks = ticks;
  }
  int used = snprintf(text, bytes, "error: no progress for run.watchdog_s = %g s; on host %s:\n",
                      watchdog->limit_s, rn_world_host(watchdog->world));
  for (int r = 0; r < ranks; r++) {
    used += print_pulse(text + used, bytes - (size_t)used, &watchdog->node[r], most_ticks);
  }
  for (ssize_t at = 0, wrote; at < used; at += wrote) {
    wrote = write(STDERR_FILENO, text + at, (size_t)(used - at));
    if (wrote <= 0) break;
  }
  free(text);
}

/* Other nodes print within the grace; then the launcher sees a rank leave and ends the job. */
static void give_up(rn_watchdog *watchdog) {
  if (atomic_exchange(&watchdog->node[0].told, 1) == 0) print_node(watchdog);
  sleep(GRACE_S);
  _exit(rn_status_exit_code(RN_ERR_WATCHDOG));
}

static struct timespec after(int64_t wait_ns) {
  const int64_t at = now_ns() + wait_ns;
  return (struct timespec){.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
}

static void *watch(void *argument) {
  rn_watchdog *watchdog = argument;
  const int64_t look_ns = (int64_t)(watchdog->limit_s * 1e9 / LOOKS) + 1;
  int64_t seen = -1;
  pthread_mutex_lock(&watchdog->lock);
  for (int still = 0; !watchdog->stopping;) {
    const struct timespec until = after(look_ns);
    pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    const int64_t ticks = atomic_load(&watchdog->mine->ticks);
    still = ticks == seen ? still + 1 : 0;
    seen = ticks;
    if (still >= LOOKS && !watchdog->stopping) give_up(watchdog);
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

static rn_status share_pulses(rn_err *err, rn_watchdog *watchdog) {
  MPI_Comm comm = rn_world_node_comm(watchdog->world);
  MPI_Aint bytes;
  int unit;
  RN_MPI(err, MPI_Win_allocate_shared(sizeof(pulse), 1, MPI_INFO_NULL, comm, &watchdog->mine,
                                      &watchdog->window));
  RN_MPI(err, MPI_Win_shared_query(watchdog->window, 0, &bytes, &unit, &watchdog->node));
  memset(watchdog->mine, 0, sizeof(pulse));
  watchdog->mine->rank = rn_world_rank(watchdog->world);
  rn_watchdog_tick(watchdog, "start", 0);
  RN_MPI(err, MPI_Barrier(comm));
  return RN_OK;
}

/* Signals are the main thread's business: the new thread is born with all of them blocked. */
static rn_status start_thread(rn_err *err, rn_watchdog *watchdog) {
  sigset_t all, before;
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&watchdog->lock, NULL);
  pthread_cond_init(&watchdog->wake, &clock);
  pthread_condattr_destroy(&clock);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int code = pthread_create(&watchdog->thread, NULL, watch, watchdog);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  watchdog->running = code == 0;
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "no thread for the watchdog: %s. run.watchdog_s: 0 does without", strerror(code));
}

rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out) {
  *out = NULL;
  if (!(limit_s > 0)) return RN_OK;
  rn_watchdog *watchdog;
  RN_TRY(err, rn_alloc(err, "watchdog", 1, sizeof *watchdog, &watchdog));
  watchdog->world = world;
  watchdog->limit_s = limit_s;
  watchdog->window = MPI_WIN_NULL;
  rn_status status = share_pulses(err, watchdog);
  if (status == RN_OK) status = rn_agree(err, world, start_thread(err, watchdog));
  if (status == RN_OK) {
    *out = watchdog;
  } else if (status != RN_ERR_MPI) {
    rn_watchdog_stop(&watchdog);
  }
  return status;
}

void rn_watchdog_tick(rn_watchdog *watchdog, const char *operation, int64_t step) {
  if (watchdog == NULL) return;
  uint64_t words[NAME_WORDS] = {0};
  const size_t length = strnlen(operation, sizeof words - 1);
  memcpy(words, operation, length);
  pulse *mine = watchdog->mine;
  for (int i = 0; i < NAME_WORDS; i++) atomic_store(&mine->name[i], words[i]);
  atomic_store(&mine->step, step);
  atomic_store(&mine->last_ns, now_ns());
  atomic_fetch_add(&mine->ticks, 1);
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
  if (w->window != MPI_WIN_NULL) MPI_Win_free(&w->window);
  free(w);
  *watchdog = NULL;
}
