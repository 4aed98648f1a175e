/* Checks that conflicting keys are refused with a message that names them, and that a number of
 * threads that the system cannot start is refused. */
#include "trainer/config/config_check.h"

#include <sys/resource.h>
#include <unistd.h>

#include "proto/options/options.h"
#include "tests/support/check.h"
#include "trainer/machine/thread_limit.h"

static rn_err err;

static rn_status check(const char *const *keys, int count) {
  Retnet__Config *config = NULL;
  if (!CHECK_OK(&err, rn_options_load(&err, NULL, keys, count, &config))) return RN_ERR_USAGE;
  const rn_status status = rn_config_check(&err, config);
  rn_options_free(&config);
  return status;
}

static void contradictions_are_named(void) {
  const char *min_lr[] = {"optimizer.min_lr=1"};
  CHECK_FAILS(&err, RN_ERR_USAGE, "optimizer.min_lr|optimizer.lr", check(min_lr, 1));
  const char *equal[] = {"optimizer.min_lr=0.5", "optimizer.lr=0.5"};
  CHECK_OK(&err, check(equal, 2));
  const char *early[] = {"optimizer.decay_steps=99"}, *edge[] = {"optimizer.decay_steps=100"};
  CHECK_FAILS(&err, RN_ERR_USAGE, "optimizer.decay_steps|optimizer.warmup_steps", check(early, 1));
  CHECK_OK(&err, check(edge, 1));
  const char *constant[] = {"optimizer.decay_steps=99", "optimizer.schedule=constant"};
  CHECK_OK(&err, check(constant, 2));
  const char *reduction_block[] = {"run.reproducible=true", "run.leaf=65",
                                   "data.sequence_length=64"};
  CHECK_FAILS(&err, RN_ERR_USAGE, "run.leaf|data.sequence_length", check(reduction_block, 3));
  reduction_block[1] = "run.leaf=64";
  CHECK_OK(&err, check(reduction_block, 3));
  const char *resume[] = {"checkpoint.resume="};
  CHECK_FAILS(&err, RN_ERR_USAGE, "checkpoint.resume", check(resume, 1));
}

/* If there is no memory for the stacks of all threads, the number must be refused before OpenMP
 * starts them. */
static void threads_that_cannot_be_started_are_refused(void) {
  CHECK_OK(&err, rn_thread_limit_check(&err, 1));
  CHECK_OK(&err, rn_thread_limit_check(&err, 64));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.threads 65536|8192",
              rn_thread_limit_check(&err, 65536));
#ifndef __SANITIZE_ADDRESS__ /* the sanitizer needs more address space than this limit allows */
  const struct rlimit little = {256 << 20, 256 << 20};
  if (setrlimit(RLIMIT_AS, &little) != 0) return;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.threads 8000|smaller number",
              rn_thread_limit_check(&err, 8000));
#endif
}

int main(void) {
  contradictions_are_named();
  threads_that_cannot_be_started_are_refused();
  return check_result();
}
