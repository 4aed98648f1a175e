/*
 * Checks that the state of the main thread can be read if that thread hangs inside malloc and holds
 * its lock: a watchdog must end such a process, too.
 */
#include "proto/base/stack_dump.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/child.h"

enum { TRIES = 10, LIMIT_S = 30, START_US = 10000, LOOK_US = 1000, PRINT_MS = 20, READ_STATE = 3 };

static atomic_bool hangs;

static void hang(int signal) {
  (void)signal;
  atomic_store(&hangs, true);
  for (;;) pause();
}

/* Lets the main thread hang, and then reads its state until it sleeps. */
static void *watch(void *main_thread) {
  usleep(START_US);
  pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
  while (!atomic_load(&hangs)) usleep(LOOK_US);
  CHECK(!rn_stack_dump_print(PRINT_MS));
  while (rn_stack_dump_state() != 'S') usleep(LOOK_US);
  /* Not _exit, with which the preset coverage writes its counts: that allocates memory. */
  syscall(SYS_exit_group, check_failures() == 0 ? READ_STATE : 1);
  return NULL;
}

/* The options let all threads share one lock, and let free() return memory to the system while it
 * holds the lock: the main thread nearly always holds it. */
static void hang_in_malloc(int unused) {
  struct sigaction action = {.sa_handler = hang};
  pthread_t thread, self = pthread_self();
  (void)unused;
  alarm(LIMIT_S);
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 0);
  mallopt(M_TOP_PAD, 0);
  rn_stack_dump_prepare();
  sigfillset(&action.sa_mask);
  sigdelset(&action.sa_mask, SIGALRM);
  sigaction(SIGUSR1, &action, NULL);
  if (!CHECK(pthread_create(&thread, NULL, watch, &self) == 0)) return;
  for (;;) {
    void *volatile memory = malloc(100000);
    free(memory);
  }
}

int main(void) {
  char text[200];
  for (int i = 0; i < TRIES && check_failures() == 0; i++) {
    CHECK(test_child_status(hang_in_malloc, 0, text, sizeof text) == READ_STATE);
  }
  return check_result();
}
