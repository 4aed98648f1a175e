/* Checks which environments count as a launch of several ranks, and which ranks print an error
 * that other ranks may have too. */
#include "proto/cli/launched.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

static void set_number(const char *name, long value) {
  char text[32];
  snprintf(text, sizeof text, "%ld", value);
  setenv(name, text, 1);
}

static void forget(void) {
  static const char *const names[] = {
      "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE",     "PMI_RANK",
      "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",         "SLURM_JOB_ID", "SLURM_STEP_ID",
      "SLURM_PTY_PORT",       "SLURM_TASK_PID",       "SLURM_NTASKS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

static void check_detected(int ranks, int rank) {
  const rn_launched got = rn_launched_detect();
  CHECK_EQUAL(got.ranks, ranks);
  CHECK_EQUAL(got.rank, rank);
  CHECK((got.variable == NULL) == (ranks == 1));
}

static void launchers_are_detected(void) {
  forget();
  check_detected(1, 0);
  set_number("SLURM_NTASKS", 4); /* number of tasks of the job, not of the step */
  set_number("SLURM_STEP_NUM_TASKS", 1);
  check_detected(1, 0);
  set_number("SLURM_STEP_NUM_TASKS", 4);
  set_number("SLURM_PROCID", 2);
  check_detected(4, 2);
  set_number("OMPI_COMM_WORLD_SIZE", 3);
  set_number("OMPI_COMM_WORLD_RANK", 1);
  check_detected(3, 1);
}

/* In a shell of `srun --pty`, a command is a single process although the step has several tasks;
 * mpirun can still start ranks there. */
static void a_command_in_an_interactive_shell_is_one_process(void) {
  forget();
  set_number("SLURM_STEP_NUM_TASKS", 4);
  set_number("PMI_SIZE", 4);
  set_number("SLURM_PTY_PORT", 40000);
  set_number("SLURM_TASK_PID", getppid());
  check_detected(1, 0);
  set_number("OMPI_COMM_WORLD_SIZE", 2);
  check_detected(2, 0);
  unsetenv("OMPI_COMM_WORLD_SIZE");
  set_number("SLURM_TASK_PID", getpid()); /* `srun --pty retnet-...` */
  check_detected(4, 0);
}

/* Starts a rank of a Slurm step whose launch has failed. Its exit status is 1 if it would print the
 * error. */
static pid_t start_rank(int rank) {
  const pid_t child = fork();
  if (child != 0) return child;
  set_number("SLURM_PROCID", rank);
  _exit(rn_launched_prints_late());
}

static int end_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Rank 0 prints immediately. On each node, one of the other ranks waits until it may print, unless
 * srun ends it first; the remaining ranks print nothing. */
static void one_rank_of_a_node_waits_to_print(void) {
  siginfo_t first = {0};
  forget();
  set_number("SLURM_JOB_ID", getpid());
  set_number("SLURM_STEP_ID", 0);
  set_number("SLURM_STEP_NUM_TASKS", 3);
  CHECK_EQUAL(end_of(start_rank(0)), 1);
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, NULL); /* stays pending if a rank does not yet wait for it */
  const pid_t rank[] = {start_rank(1), start_rank(2)};
  CHECK(waitid(P_ALL, 0, &first, WEXITED | WNOWAIT) == 0);
  const int silent = first.si_pid == rank[1];
  CHECK_EQUAL(end_of(rank[silent]), 0);
  CHECK(waitid(P_PID, (id_t)rank[!silent], &first, WEXITED | WNOWAIT | WNOHANG) == 0);
  kill(rank[!silent], SIGTERM);
  CHECK_EQUAL(end_of(rank[!silent]), 0);
}

int main(void) {
  launchers_are_detected();
  a_command_in_an_interactive_shell_is_one_process();
  one_rank_of_a_node_waits_to_print();
  return check_result();
}
