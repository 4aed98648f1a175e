/* Checks that a fault occurs only at the requested site and in the requested passes, and that it
 * can kill the process. */
#include "proto/base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/slowdown.h"
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

/* `busy=P` gives a constant fraction P %; `busy=P~SEED` a random one, below 2 P % and with mean
 * P %, which depends only on the seed and the pass. */
static void a_busy_pass_takes_its_fraction(void) {
  double first[1000], sum = 0;
  setenv("RETNET_FAULT", "compute:2-:busy=15", 1);
  CHECK(rn_fault_names("compute") && !rn_fault_names("comput"));
  CHECK(rn_fault_busy("other") == 0);
  CHECK(rn_fault_busy("compute") == 0);
  for (int i = 0; i < 3; i++) CHECK_NEAR(rn_fault_busy("compute"), 0.15, 1e-12);
  CHECK_EQUAL(rn_fault_passes(), 4);
  setenv("RETNET_FAULT", "compute:1-:busy=15~7", 1);
  for (int i = 0; i < 1000; i++) {
    first[i] = rn_fault_busy("compute");
    CHECK(first[i] >= 0 && first[i] < 0.3);
    sum += first[i];
  }
  CHECK_NEAR(sum / 1000, 0.15, 0.1);
  setenv("RETNET_FAULT", "compute:1-:busy=15~8", 1);
  int64_t same = 0;
  for (int i = 0; i < 1000; i++) same += rn_fault_busy("compute") == first[i];
  CHECK(same < 10);
  setenv("RETNET_FAULT", "compute:1-:busy=15~7", 1);
  for (int i = 0; i < 1000; i++) CHECK(rn_fault_busy("compute") == first[i]);
}

static double cpu_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A slowdown must be measured in CPU time of the thread. In wall time, on a busy machine, the time
 * that the thread waits for a core would count as part of the slowdown. */
static void a_slowed_phase_uses_cpu_time(void) {
  unsetenv("RETNET_FAULT");
  CHECK(rn_slowdown_end(rn_slowdown_begin()) == 0);
  setenv("RETNET_FAULT", "compute:1-:busy=300", 1);
  const double begin_s = rn_slowdown_begin();
  while (cpu_s() < begin_s + 1e-3) continue;
  const double added_s = rn_slowdown_end(begin_s);
  CHECK(added_s >= 2.99e-3);
  CHECK(cpu_s() - begin_s >= 1e-3 + added_s);
  CHECK_EQUAL(rn_fault_passes(), 1);
}

static void a_late_message_is_late_by_its_passes(void) {
  setenv("RETNET_FAULT", "scan.message:2-3:late=2.5", 1);
  for (int pass = 1; pass <= 4; pass++) {
    CHECK_NEAR(rn_fault_late_s("scan.message"), pass == 2 || pass == 3 ? 0.0025 : 0, 1e-12);
  }
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
  a_busy_pass_takes_its_fraction();
  a_slowed_phase_uses_cpu_time();
  a_late_message_is_late_by_its_passes();
  a_kill_is_a_kill();
  return check_result();
}
