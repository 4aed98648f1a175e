#include "comm/world/comm_thread.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "comm/world/backoff.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"

struct rn_comm_thread {
  pthread_t thread;
  rn_comm_thread_wait wait;
  pthread_mutex_t lock; /* guards the members below; never held inside MPI calls */
  pthread_cond_t wake;  /* wakes the communication thread: MPI is released, or `stopping` is set */
  pthread_cond_t poll_ended; /* wakes the main thread: a poll has ended */
  bool released, polling, stopping;
  bool released_again; /* true if MPI was released again since the last poll */
  rn_progress_callback callback[RN_COMM_THREAD_MAX_CALLBACKS];
  int callbacks;
};

static rn_progress_state run_callbacks(const rn_comm_thread *t) {
  rn_progress_state result = RN_PROGRESS_DONE;
  for (int i = 0; i < t->callbacks; i++) {
    const rn_progress_state state = t->callback[i].poll(t->callback[i].self);
    if (state > result) result = state;
  }
  return result;
}

/* Polls once. The caller holds the lock, which this function releases during MPI calls. */
static rn_progress_state poll_once(rn_comm_thread *t) {
  t->polling = true;
  t->released_again = false;
  pthread_mutex_unlock(&t->lock);
  const rn_progress_state state = run_callbacks(t);
  pthread_mutex_lock(&t->lock);
  t->polling = false;
  if (!t->released) pthread_cond_signal(&t->poll_ended);
  return state;
}

static void wait_before_poll(const rn_comm_thread *t, rn_backoff *backoff) {
  if (t->wait == RN_COMM_THREAD_PERIODIC) {
    nanosleep(&(struct timespec){.tv_nsec = RN_COMM_THREAD_PERIOD_US * 1000}, NULL);
  } else {
    rn_backoff_wait(backoff);
  }
}

/* Polls until no message is in flight or the main thread acquires MPI. The caller holds the lock.
 * The backoff restarts when MPI is released again or a message arrives, because more messages are
 * then likely. */
static void poll_until_done(rn_comm_thread *t) {
  const rn_backoff start = {.other_thread = true};
  rn_backoff backoff = start;
  while (t->released) {
    if (t->released_again) backoff = start;
    const rn_progress_state state = poll_once(t);
    if (state == RN_PROGRESS_DONE) return;
    if (state == RN_PROGRESS_MOVED) backoff = start;
    pthread_mutex_unlock(&t->lock);
    wait_before_poll(t, &backoff);
    pthread_mutex_lock(&t->lock);
  }
}

static void *run(void *argument) {
  enum { TIMER_SLACK_NS = 5000 }; /* by default the kernel wakes a thread up to 50 us late */
  rn_comm_thread *t = argument;
  (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
  pthread_mutex_lock(&t->lock);
  while (!t->stopping) {
    if (t->released) poll_until_done(t);
    if (!t->stopping) pthread_cond_wait(&t->wake, &t->lock);
  }
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

static rn_status start_thread(rn_err *err, rn_comm_thread *t) {
  const int code = rn_thread_create(&t->thread, run, t);
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "parallel.comm_thread: cannot create the communication thread: %s; set the key to "
                 "off to run without it",
                 strerror(code));
}

rn_status rn_comm_thread_start(rn_err *err, const rn_world *world, rn_comm_thread_wait wait,
                               rn_comm_thread **out) {
  rn_comm_thread *t;
  *out = NULL;
  if (rn_world_level(world) < MPI_THREAD_SERIALIZED) {
    return rn_fail(err, RN_ERR_LIBRARY,
                   "parallel.comm_thread: the communication thread needs MPI_THREAD_SERIALIZED, "
                   "but this MPI provides %s; set the key to off to run without it",
                   rn_world_level_name(world));
  }
  RN_TRY(err, rn_alloc(err, "communication thread", 1, sizeof *t, &t));
  t->wait = wait;
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->wake, NULL);
  pthread_cond_init(&t->poll_ended, NULL);
  rn_status status = start_thread(err, t);
  if (status == RN_OK) {
    *out = t;
  } else {
    free(t);
  }
  return status;
}

rn_comm_thread_wait rn_comm_thread_waits(const rn_comm_thread *thread) {
  return thread->wait;
}

void rn_comm_thread_stop(rn_comm_thread **thread) {
  rn_comm_thread *t = *thread;
  if (t == NULL) return;
  (void)rn_comm_thread_acquire(t);
  pthread_mutex_lock(&t->lock);
  t->stopping = true;
  pthread_cond_signal(&t->wake);
  pthread_mutex_unlock(&t->lock);
  pthread_join(t->thread, NULL);
  pthread_mutex_destroy(&t->lock);
  pthread_cond_destroy(&t->wake);
  pthread_cond_destroy(&t->poll_ended);
  free(t);
  *thread = NULL;
}

void rn_comm_thread_add(rn_comm_thread *t, rn_progress_callback callback) {
  pthread_mutex_lock(&t->lock);
  assert(!t->released && t->callbacks < RN_COMM_THREAD_MAX_CALLBACKS);
  t->callback[t->callbacks++] = callback;
  pthread_mutex_unlock(&t->lock);
}

void rn_comm_thread_release(rn_comm_thread *t) {
  if (t == NULL) return;
  pthread_mutex_lock(&t->lock);
  t->released = t->released_again = true;
  pthread_cond_signal(&t->wake);
  pthread_mutex_unlock(&t->lock);
}

bool rn_comm_thread_acquire(rn_comm_thread *t) {
  if (t == NULL) return false;
  pthread_mutex_lock(&t->lock);
  const bool released = t->released;
  t->released = false;
  while (t->polling) pthread_cond_wait(&t->poll_ended, &t->lock);
  pthread_mutex_unlock(&t->lock);
  return released;
}
