#include "proto/cli/launched.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int number(const char *variable) {
  const char *text = getenv(variable);
  return text != NULL ? atoi(text) : 0;
}

/* True if this process was started from a shell that `srun --pty` started: the task of the job step
 * is then the shell, not this process. */
static bool is_interactive(void) {
  return getenv("SLURM_PTY_PORT") != NULL && number("SLURM_TASK_PID") != (int)getpid();
}

rn_launched rn_launched_detect(void) {
  static const char *const names[][2] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                         {"PMI_SIZE", "PMI_RANK"},
                                         {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
  const size_t count = is_interactive() ? 1 : sizeof names / sizeof names[0];
  for (size_t i = 0; i < count; i++) {
    const int ranks = number(names[i][0]);
    if (ranks > 1) return (rn_launched){names[i][0], ranks, number(names[i][1])};
  }
  return (rn_launched){NULL, 1, 0};
}

bool rn_launched_prints(void) {
  return rn_launched_detect().rank == 0;
}

/* True on one rank per node and job step: the first that calls this function. It claims the right
 * to print by binding a socket to a name; the function returns false on other ranks while that
 * process lives. The name is abstract, so no file is created. */
static bool speaks_for_node(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
  const int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "retnet-error-%s-%s",
                              job != NULL ? job : "", step != NULL ? step : "");
  const int claim = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  return claim < 0 || length >= (int)sizeof name.sun_path - 1 ||
         bind(claim, (const struct sockaddr *)&name, bytes) == 0;
}

bool rn_launched_prints_late(void) {
  enum { PAUSE_S = 10 };
  const rn_launched launched = rn_launched_detect();
  if (launched.rank == 0) return true;
  const bool by_mpirun = strncmp(launched.variable, "OMPI", 4) == 0;
  if (!by_mpirun && getenv("SLURM_STEP_ID") != NULL && !speaks_for_node()) return false;
  /* To end a process, mpirun of Open MPI sends SIGCONT and, possibly seconds later, SIGTERM. Either
   * one ends this wait. */
  const struct timespec pause = {.tv_sec = PAUSE_S};
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGCONT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, NULL);
  return sigtimedwait(&ends, NULL, &pause) < 0;
}
