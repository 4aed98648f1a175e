#include "comm/world/comm_thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world/backoff.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"

struct rn_comm_thread {
  pthread_t thread;
  pthread_mutex_t lock; /* of the members below; never held inside MPI */
  pthread_cond_t wake;  /* for the thread: MPI is released, or `stopping` */
  pthread_cond_t out;   /* for the main thread: the thread has left MPI */
  bool lent, looking, stopping;
  bool fresh; /* released again since the last poll */
  rn_progress_callback callback[RN_COMM_THREAD_MAX_CALLBACKS];
  int callbacks;
};

static rn_progress_state look_at_all(const rn_comm_thread *t) {
  rn_progress_state most = RN_PROGRESS_DONE;
  for (int i = 0; i < t->callbacks; i++) {
    const rn_progress_state state = t->callback[i].look(t->callback[i].self);
    if (state > most) most = state;
  }
  return most;
}

/* Polls once; the lock is held at entry and exit, but not inside MPI. */
static rn_progress_state look(rn_comm_thread *t) {
  t->looking = true;
  t->fresh = false;
  pthread_mutex_unlock(&t->lock);
  const rn_progress_state state = look_at_all(t);
  pthread_mutex_lock(&t->lock);
  t->looking = false;
  if (!t->lent) pthread_cond_signal(&t->out);
  return state;
}

/* Polls until no message is in flight or MPI is acquired; the lock is held at entry and exit. The
 * backoff restarts after a release or an arrival, since more messages are then likely. */
static void look_after(rn_comm_thread *t) {
  const rn_backoff start = {.other_thread = true};
  rn_backoff backoff = start;
  while (t->lent) {
    if (t->fresh) backoff = start;
    const rn_progress_state state = look(t);
    if (state == RN_PROGRESS_DONE) return;
    if (state == RN_PROGRESS_MOVED) backoff = start;
    pthread_mutex_unlock(&t->lock);
    rn_backoff_wait(&backoff);
    pthread_mutex_lock(&t->lock);
  }
}

static void *run(void *argument) {
  rn_comm_thread *t = argument;
  pthread_mutex_lock(&t->lock);
  while (!t->stopping) {
    if (t->lent) look_after(t);
    if (!t->stopping) pthread_cond_wait(&t->wake, &t->lock);
  }
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

/* The new thread starts with all signals blocked: the main thread handles them. */
static rn_status start_thread(rn_err *err, rn_comm_thread *t) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int code = rn_thread_create(&t->thread, run, t);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "parallel.comm_thread: no thread for messages: %s. off does without",
                 strerror(code));
}

rn_status rn_comm_thread_start(rn_err *err, const rn_world *world, rn_comm_thread **out) {
  rn_comm_thread *t;
  *out = NULL;
  if (rn_world_level(world) < MPI_THREAD_SERIALIZED) {
    return rn_fail(err, RN_ERR_LIBRARY,
                   "parallel.comm_thread: a thread for messages needs MPI_THREAD_SERIALIZED, this "
                   "MPI gives %s. off does without",
                   rn_world_level_name(world));
  }
  RN_TRY(err, rn_alloc(err, "thread for messages", 1, sizeof *t, &t));
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->wake, NULL);
  pthread_cond_init(&t->out, NULL);
  rn_status status = start_thread(err, t);
  if (status == RN_OK) {
    *out = t;
  } else {
    free(t);
  }
  return status;
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
  pthread_cond_destroy(&t->out);
  free(t);
  *thread = NULL;
}

void rn_comm_thread_add(rn_comm_thread *t, rn_progress_callback callback) {
  pthread_mutex_lock(&t->lock);
  assert(!t->lent && t->callbacks < RN_COMM_THREAD_MAX_CALLBACKS);
  t->callback[t->callbacks++] = callback;
  pthread_mutex_unlock(&t->lock);
}

void rn_comm_thread_release(rn_comm_thread *t) {
  if (t == NULL) return;
  pthread_mutex_lock(&t->lock);
  t->lent = t->fresh = true;
  pthread_cond_signal(&t->wake);
  pthread_mutex_unlock(&t->lock);
}

bool rn_comm_thread_acquire(rn_comm_thread *t) {
  if (t == NULL) return false;
  pthread_mutex_lock(&t->lock);
  const bool lent = t->lent;
  t->lent = false;
  while (t->looking) pthread_cond_wait(&t->out, &t->lock);
  pthread_mutex_unlock(&t->lock);
  return lent;
}
