#include "trainer/launch/stop_request.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "proto/base/log.h"

static volatile sig_atomic_t pending;
static pthread_t listener;

/*
 * The threads of MPI do not block the signals, and a thread that writes a log line unblocks them.
 * If such a thread runs the handler, it forwards the signal to the listener thread. A thread that
 * is blocked in a log write because nobody reads the log continues only if it runs the handler
 * itself. This is why every thread calls rn_log_do_not_wait(), and why the listener passes the
 * signal on to a job thread that is writing.
 */
static void handle(int signal) {
  const int error = errno;
  rn_log_do_not_wait();
  if (pthread_equal(pthread_self(), listener)) {
    pending = 1;
    rn_log_wake_writer(signal);
  } else {
    pthread_kill(listener, signal);
  }
  errno = error;
}

/* mpirun and srun forward USR1 and USR2; batch systems may send any of the three before the time
 * limit of a job. */
static const int asking[] = {SIGTERM, SIGUSR1, SIGUSR2};
enum { ASKING = sizeof asking / sizeof *asking };

static sigset_t requests(void) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < ASKING; i++) sigaddset(&set, asking[i]);
  return set;
}

void rn_stop_request_catch(void) {
  const struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  listener = pthread_self();
  for (int i = 0; i < ASKING; i++) sigaction(asking[i], &action, NULL);
}

void rn_stop_request_install(void) {
  const sigset_t set = requests();
  rn_log_let_in(&set);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  rn_stop_request_catch();
  if (pending != 0) rn_log_do_not_wait(); /* before rn_log_setup, this had no effect */
}

bool rn_stop_request_pending(void) {
  const sigset_t set = requests();
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return pending != 0;
}
