/* Checks that a process is reported as ended only if this is certain, because its files are then
 * removed. */
#include "proto/base/process.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

static void live_process(void) {
  const rn_process self = rn_process_self();
  CHECK(!rn_process_has_ended(self.pid, self.start));
  CHECK(!rn_process_has_ended(self.pid, 0));
  CHECK(rn_process_has_ended(self.pid, self.start + 1)); /* its PID was reused */
  CHECK(rn_process_is_alive(&self));
}

static void ended_process(void) {
  siginfo_t how;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  CHECK_EQUAL(waitid(P_PID, (id_t)child, &how, WEXITED | WNOWAIT), 0);
  CHECK(rn_process_has_ended(child, 0)); /* a zombie */
  CHECK_EQUAL(waitpid(child, NULL, 0), child);
  CHECK(rn_process_has_ended(child, 0));
}

/* If the process can open no more files, it cannot read /proc; no process may then count as
 * ended. */
static void unreadable_process(void) {
  struct rlimit old, none;
  const rn_process self = rn_process_self();
  CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &old), 0);
  none = (struct rlimit){0, old.rlim_max};
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
  const unsigned long long start = rn_process_start(self.pid);
  const bool ended = rn_process_has_ended(self.pid, self.start);
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &old), 0);
  CHECK_EQUAL((int)start, 0);
  CHECK(!ended);
}

int main(void) {
  live_process();
  ended_process();
  unreadable_process();
  return check_result();
}
