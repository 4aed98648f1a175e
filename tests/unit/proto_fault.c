/* A fault fires at the requested passes of its own site only, and can kill the process. */
#include "proto/base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

static void without_the_variable_nothing_happens(void) {
  unsetenv("RETNET_FAULT");
  for (int i = 0; i < 5; i++) CHECK(!rn_fault_now("ckpt.write"));
}

static void only_the_named_pass_fails(void) {
  setenv("RETNET_FAULT", "ckpt.write:3", 1);
  for (int pass = 1; pass <= 6; pass++) {
    errno = 0;
    CHECK(!rn_fault_now("ckpt.sync"));
    CHECK(!rn_fault_now("ckpt.writes"));
    CHECK(rn_fault_now("ckpt.write") == (pass == 3));
    CHECK_EQUAL(errno, pass == 3 ? ENOSPC : 0);
  }
}

static void another_order_counts_anew(void) {
  setenv("RETNET_FAULT", "ckpt.write:1:fail", 1);
  CHECK(rn_fault_now("ckpt.write"));
  CHECK(!rn_fault_now("ckpt.write"));
  setenv("RETNET_FAULT", "nonsense", 1);
  CHECK(!rn_fault_now("nonsense"));
}

static void a_range_of_passes_fails(void) {
  setenv("RETNET_FAULT", "step.loss:2-3:EROFS", 1);
  for (int pass = 1; pass <= 5; pass++) {
    errno = 0;
    CHECK(rn_fault_now("step.loss") == (pass == 2 || pass == 3));
    CHECK_EQUAL(errno, pass == 2 || pass == 3 ? EROFS : 0);
  }
  setenv("RETNET_FAULT", "step.loss:3-", 1);
  for (int pass = 1; pass <= 9; pass++) CHECK(rn_fault_now("step.loss") == (pass >= 3));
}

static void a_kill_is_a_kill(void) {
  setenv("RETNET_FAULT", "ckpt.rename:2:kill", 1);
  const pid_t child = fork();
  if (child == 0) {
    rn_fault_now("ckpt.rename");
    rn_fault_now("ckpt.rename");
    _exit(0);
  }
  int end = 0;
  CHECK(child > 0 && waitpid(child, &end, 0) == child);
  CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL);
}

int main(void) {
  without_the_variable_nothing_happens();
  only_the_named_pass_fails();
  another_order_counts_anew();
  a_range_of_passes_fails();
  a_kill_is_a_kill();
  return check_result();
}
