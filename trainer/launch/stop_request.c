#include "trainer/launch/stop_request.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "proto/base/log.h"

static volatile sig_atomic_t pending;
static pthread_t listener;

/*
 * The threads of MPI do not block the signals. If such a thread runs the handler, it forwards the
 * signal to the listener thread. This interrupts the listener, which may be blocked in a log write
 * because nobody reads the log.
 */
static void handle(int signal) {
  if (!pthread_equal(pthread_self(), listener)) {
    pthread_kill(listener, signal);
    return;
  }
  pending = 1;
  rn_log_do_not_wait();
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
