#include "trainer/machine/thread_limit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"

/*
 * Started threads block at the gate until all have been started, so that all exist at the same
 * time.
 */
typedef struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t opened;
  int is_open;
} gate;

static void *wait_at(void *self) {
  gate *g = self;
  pthread_mutex_lock(&g->mutex);
  while (!g->is_open) pthread_cond_wait(&g->opened, &g->mutex);
  pthread_mutex_unlock(&g->mutex);
  return NULL;
}

static void open_gate(gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->is_open = 1;
  pthread_cond_broadcast(&g->opened);
  pthread_mutex_unlock(&g->mutex);
}

/*
 * Returns how many of `count` threads can exist at the same time. *why is the errno of the first
 * failure.
 */
static int count_startable(pthread_t *thread, int count, int *why) {
  gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  int started = 0;
  *why = 0;
  while (started < count && *why == 0) {
    *why = pthread_create(&thread[started], NULL, wait_at, &g);
    started += *why == 0;
  }
  open_gate(&g);
  for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
  return started;
}

rn_status rn_thread_limit_check(rn_err *err, int threads) {
  if (threads > RN_THREAD_LIMIT) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.threads %d is above the limit of %d threads per rank: more threads "
                   "than cores do not help",
                   threads, RN_THREAD_LIMIT);
  }
  if (threads <= sysconf(_SC_NPROCESSORS_ONLN)) return RN_OK;
  pthread_t *thread;
  int why = 0;
  RN_TRY(err, rn_alloc(err, "threads", (size_t)threads, sizeof *thread, &thread));
  const int possible = count_startable(thread, threads - 1, &why) + 1;
  free(thread);
  if (why == 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "parallel.threads %d: this system allows only %d threads per rank (%s; see ulimit "
                 "-u and the task limit of the job): set a smaller number",
                 threads, possible, strerror(why));
}
