/* Checks that a job that hangs ends with exit code 3 and a message that names the rank and the
 * operation, also on several hosts, and that a job that counts progress units continues. */
#include "comm/world/watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/world/real_host.h"
#include "proto/base/progress.h"
#include "tests/support/check.h"

static rn_err err;

enum { RANKS = 3, CULPRIT = 1, STEP = 7 };
static const double limit_s = 1.6; /* shorter than the job that ticks */
static bool apart;                 /* rank 0 is on another host than the other ranks */

/* Replaces the function of comm/world/real_host.c. */
rn_status rn_real_host_split(rn_err *why, MPI_Comm comm, MPI_Comm *out) {
  int rank = -1;
  (void)why;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_split(comm, apart && rank > 0, 0, out);
  MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN);
  return RN_OK;
}

/* Runs one rank of the job under test; `how` selects what it does. */
static int run_rank(int argc, char **argv, const char *how) {
  rn_world *world = NULL;
  rn_watchdog *watchdog = NULL;
  apart = strcmp(how, "stops elsewhere") == 0;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status == RN_OK) status = rn_watchdog_start(&err, world, limit_s, &watchdog);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  for (int i = 0; i < 12 && strcmp(how, "ticks") == 0; i++) {
    rn_progress_begin("forward", i);
    usleep(200000);
  }
  const bool culprit = rn_world_rank(world) == CULPRIT;
  rn_progress_begin("forward", STEP);
  if (culprit && strcmp(how, "hangs") == 0) pause();
  if (culprit && strncmp(how, "stops", 5) == 0) raise(SIGSTOP);
  rn_progress_begin("sum gradients", STEP);
  status = rn_world_barrier(&err, world);
  rn_watchdog_stop(&watchdog);
  return rn_world_finish(&world, status, &err);
}

/* Runs this program on RANKS ranks; returns the exit code and the output. */
static int run_job(const char *launcher, const char *self, const char *how, char *output,
                   size_t bytes) {
  char command[4096];
  snprintf(command, sizeof command, "'%s' -n %d --oversubscribe --bind-to none '%s' rank '%s' 2>&1",
           launcher, RANKS, self, how);
  FILE *job = popen(command, "r");
  if (!CHECK(job != NULL)) return -1;
  const size_t used = fread(output, 1, bytes - 1, job);
  output[used] = '\0';
  const int code = pclose(job);
  return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

static int occurrences(const char *text, const char *word) {
  int count = 0;
  for (const char *at = text; (at = strstr(at, word)) != NULL; at++) count++;
  return count;
}

static void a_hang_is_reported(const char *launcher, const char *self, const char *how) {
  static char output[65536];
  CHECK_EQUAL(run_job(launcher, self, how, output, sizeof output), 3);
  CHECK(strstr(output, "rank 1 has been in \"forward\" of step 7 for ") != NULL);
  CHECK(strstr(output, "rank 0 has been in \"sum gradients\" of step 7 for ") != NULL);
  CHECK_EQUAL(occurrences(output, "error: no progress"), 1);
  CHECK_EQUAL(occurrences(output, "<- late"), 1);
  const bool runs = strcmp(how, "hangs") == 0; /* a stopped process cannot print its stack */
  CHECK_EQUAL(occurrences(output, "stack of rank "), runs);
  CHECK_EQUAL(occurrences(output, "stack of rank 1 on host"), runs);
  CHECK_EQUAL(occurrences(output, "(pause+"), runs);
  if (check_failures() > 0) fputs(output, stderr);
}

/* Rank 0 learns the states of ranks on another host from their reports. */
static void a_stop_on_another_host_is_reported(const char *launcher, const char *self) {
  static char output[65536];
  CHECK_EQUAL(run_job(launcher, self, "stops elsewhere", output, sizeof output), 3);
  CHECK(strstr(output, "ranks of the job:") != NULL);
  CHECK(strstr(output, "rank 2 on ") != NULL);
  CHECK_EQUAL(occurrences(output, "no report from it for "), 1);
  const char *culprit = strstr(output, "rank 1 on "), *end = culprit;
  if (CHECK(culprit != NULL)) end = strchr(culprit, '\n');
  CHECK(end != NULL && end - culprit > 7 && strncmp(end - 7, "<- late", 7) == 0);
  if (check_failures() > 0) fputs(output, stderr);
}

static void progress_is_not_a_hang(const char *launcher, const char *self) {
  static char output[65536];
  CHECK_EQUAL(run_job(launcher, self, "ticks", output, sizeof output), 0);
  CHECK_EQUAL(occurrences(output, "no progress"), 0);
}

int main(int argc, char **argv) {
  if (argc == 3) return run_rank(argc, argv, argv[2]);
  if (argc != 2) return 2;
  a_hang_is_reported(argv[1], argv[0], "hangs");
  a_hang_is_reported(argv[1], argv[0], "stops");
  a_stop_on_another_host_is_reported(argv[1], argv[0]);
  progress_is_not_a_hang(argv[1], argv[0]);
  return check_result();
}
