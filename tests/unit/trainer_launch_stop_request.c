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

static void *library_thread(void *unused) {
  int waiting = 0;
  pthread_barrier_wait(&listening);
  pthread_kill(pthread_self(), SIGTERM);
  pthread_barrier_wait(&listening);
  while (waiting < PIPE_BYTES) {
    ioctl(line_pipe[0], FIONREAD, &waiting);
    usleep(1000);
  }
  pthread_kill(pthread_self(), SIGTERM);
  return unused;
}

/* Prints more lines than the pipe can hold. Without the signal handler this would wait forever. */
static void lines_that_nobody_reads_are_dropped(void) {
  const int kept = dup(STDOUT_FILENO);
  if (!CHECK(kept >= 0 && dup2(line_pipe[1], STDOUT_FILENO) >= 0)) return;
  pthread_barrier_wait(&listening);
  for (int i = 0; i < 2 * PIPE_BYTES / LINE_BYTES; i++) rn_log_info("%*d", LINE_BYTES - 1, i);
  dup2(kept, STDOUT_FILENO);
  close(kept);
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
  return check_result();
}
