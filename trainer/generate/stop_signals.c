#include "trainer/generate/stop_signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted, ended;

static void handle(int number) {
  if (number == SIGINT) {
    interrupted = 1;
  } else {
    ended = 1;
  }
}

static sigset_t signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

void rn_stop_signals_block(sigset_t *before) {
  const sigset_t set = signals();
  pthread_sigmask(SIG_BLOCK, &set, before);
}

void rn_stop_signals_catch(void) {
  const struct sigaction action = {.sa_handler = handle};
  struct sigaction hangup;
  sigset_t before;
  rn_stop_signals_block(&before);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, NULL, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL);
}

/* Runs the handlers of blocked signals that have arrived. */
static void deliver(void) {
  const sigset_t set = signals();
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

bool rn_stop_signals_any(void) {
  deliver();
  return interrupted != 0 || ended != 0;
}

bool rn_stop_signals_end(void) {
  deliver();
  return ended != 0;
}

void rn_stop_signals_forget_interrupt(void) {
  deliver();
  interrupted = 0;
}

bool rn_stop_signals_wait(int file) {
  const sigset_t set = signals();
  struct pollfd input = {.fd = file, .events = POLLIN};
  sigset_t open;
  pthread_sigmask(SIG_BLOCK, &set, &open);
  sigdelset(&open, SIGINT);
  sigdelset(&open, SIGTERM);
  sigdelset(&open, SIGHUP);
  while (!rn_stop_signals_any()) {
    if (ppoll(&input, 1, NULL, &open) >= 0 || errno != EINTR) return !rn_stop_signals_any();
  }
  return false;
}
