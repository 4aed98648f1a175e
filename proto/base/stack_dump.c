#include "proto/base/stack_dump.h"

#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* HANDLER_FRAMES: number of stack frames that are not printed: that of the signal handler, and the
 * one that the kernel inserts to call it. */
enum { STACK_BYTES = 1 << 16, MAX_FRAMES = 64, HANDLER_FRAMES = 2 };

static char handler_stack[STACK_BYTES];
static pthread_t main_thread;
static bool prepared;
static atomic_bool begun, printed;

static void wait_forever(int signal) {
  (void)signal;
  for (;;) pause();
}

/* backtrace() may crash if the signal interrupts oneDNN's generated code, which uses the stack
 * pointer for other purposes. If it crashes, the thread waits instead of ending the process. */
static void survive_bad_stack(void) {
  const struct sigaction action = {.sa_handler = wait_forever, .sa_flags = SA_ONSTACK | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

static void print_stack(int signal) {
  void *frames[MAX_FRAMES];
  atomic_store(&begun, true);
  survive_bad_stack();
  const int count = backtrace(frames, MAX_FRAMES);
  const int skip = count > HANDLER_FRAMES ? HANDLER_FRAMES : 0;
  backtrace_symbols_fd(frames + skip, count - skip, STDERR_FILENO);
  atomic_store(&printed, true);
  wait_forever(signal);
}

void rn_stack_dump_prepare(void) {
  const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
  void *frame;
  if (prepared) return;
  main_thread = pthread_self();
  (void)backtrace(&frame, 1);
  prepared = sigaltstack(&stack, NULL) == 0;
}

/* Waits until *flag is set, at most `timeout_ms`; returns the flag. */
static bool wait_for(atomic_bool *flag, int timeout_ms) {
  const struct timespec pause = {0, 1000000};
  for (int ms = 0; ms < timeout_ms && !atomic_load(flag); ms++) nanosleep(&pause, NULL);
  return atomic_load(flag);
}

bool rn_stack_dump_print(int timeout_ms) {
  const struct sigaction action = {.sa_handler = print_stack, .sa_flags = SA_ONSTACK};
  const int number = SIGRTMAX - 1;
  if (!prepared || sigaction(number, &action, NULL) != 0) return false;
  if (pthread_kill(main_thread, number) != 0) return false;
  return wait_for(&begun, timeout_ms) && wait_for(&printed, timeout_ms);
}

/* Allocates no memory: the main thread may hang while it holds the lock of malloc. */
char rn_stack_dump_state(void) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%ld/stat", (long)getpid());
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return '?';
  const ssize_t used = read(fd, text, sizeof text - 1);
  close(fd);
  if (used <= 0) return '?';
  const char *after = strrchr(text, ')');
  return after != NULL && after[1] == ' ' ? after[2] : '?';
}
