/* Checks that a stop signal is blocked while threads compute, and is detected between two steps
 * whichever thread receives it. If the program waits in a write because nobody reads its log any
 * more, the signal must end this wait. */
#include "trainer/launch/stop_request.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/support/check.h"

enum { PIPE_BYTES = 1 << 16, LINE_BYTES = 64 };

static void all_threads_hold_back(int number) {
  int holding = 0;
#pragma omp parallel num_threads(3) reduction(+ : holding)
  {
    sigset_t held;
    pthread_sigmask(SIG_BLOCK, NULL, &held);
    holding += sigismember(&held, number);
  }
  CHECK_EQUAL(holding, 3);
}

static bool is_pending(int number) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, number) == 1;
}

static void is_heard(int number, bool earlier) {
  CHECK_EQUAL(rn_stop_request_pending(), earlier);
  pthread_kill(pthread_self(), number);
  CHECK(is_pending(number));
  CHECK(rn_stop_request_pending());
  CHECK(!is_pending(number));
  CHECK(rn_stop_request_pending());
  all_threads_hold_back(number);
}

/* library_thread simulates a thread that a library has created before rn_stop_request_install, and
 * that therefore does not block the signal. */
static pthread_barrier_t listening;
static int line_pipe[2];

static void wait_until_full(int reader) {
  int waiting = 0;
  while (waiting < PIPE_BYTES) {
    ioctl(reader, FIONREAD, &waiting);
    usleep(1000);
  }
}

static void *library_thread(void *unused) {
  pthread_barrier_wait(&listening);
  pthread_kill(pthread_self(), SIGTERM);
  pthread_barrier_wait(&listening);
  wait_until_full(line_pipe[0]);
  pthread_kill(pthread_self(), SIGTERM);
  return unused;
}

/* Prints more lines than the pipe can hold. Without the signal handler this would wait forever. */
static void *fill_the_pipe(void *unused) {
  for (int i = 0; i < 2 * PIPE_BYTES / LINE_BYTES; i++) rn_log_info("%*d", LINE_BYTES - 1, i);
  return unused;
}

static void lines_that_nobody_reads_are_dropped(void) {
  const int kept = dup(STDOUT_FILENO);
  if (!CHECK(kept >= 0 && dup2(line_pipe[1], STDOUT_FILENO) >= 0)) return;
  pthread_barrier_wait(&listening);
  fill_the_pipe(NULL);
  dup2(kept, STDOUT_FILENO);
  close(kept);
}

/* The signal must free a thread that the main thread waits for, whether this thread receives it or
 * the main thread does, which is where a library thread forwards it. */
static void a_blocked_job_thread_continues(bool job_receives) {
  pthread_t job;
  int unread[2];
  const int kept = dup(STDOUT_FILENO);
  CHECK(kept >= 0 && pipe(unread) == 0 && dup2(unread[1], STDOUT_FILENO) >= 0);
  if (!CHECK(pthread_create(&job, NULL, fill_the_pipe, NULL) == 0)) return;
  wait_until_full(unread[0]);
  pthread_kill(job_receives ? job : pthread_self(), SIGTERM);
  if (!job_receives) CHECK(rn_stop_request_pending());
  pthread_join(job, NULL);
  CHECK(rn_stop_request_pending());
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(unread[0]);
  close(unread[1]);
}

int main(void) {
  pthread_t thread;
  setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  rn_log_setup(false, false);
  pthread_barrier_init(&listening, NULL, 2);
  if (!CHECK(pipe(line_pipe) == 0)) return check_result();
  if (!CHECK(pthread_create(&thread, NULL, library_thread, NULL) == 0)) return check_result();
  rn_stop_request_install();
  all_threads_hold_back(SIGUSR1);
  all_threads_hold_back(SIGUSR2);
  all_threads_hold_back(SIGTERM);
  is_heard(SIGUSR1, false);
  is_heard(SIGUSR2, true);
  is_heard(SIGTERM, true);
  pthread_barrier_wait(&listening);
  while (!is_pending(SIGTERM)) usleep(1000);
  CHECK(rn_stop_request_pending());
  lines_that_nobody_reads_are_dropped();
  pthread_join(thread, NULL);
  a_blocked_job_thread_continues(true);
  a_blocked_job_thread_continues(false);
  return check_result();
}
