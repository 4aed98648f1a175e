#include "proto/cli/launched.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int number(const char *variable) {
  const char *text = getenv(variable);
  return text != NULL ? atoi(text) : 0;
}

rn_launched rn_launched_detect(void) {
  static const char *const names[][2] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                         {"PMI_SIZE", "PMI_RANK"},
                                         {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    const int ranks = number(names[i][0]);
    if (ranks > 1) return (rn_launched){names[i][0], ranks, number(names[i][1])};
  }
  return (rn_launched){NULL, 1, 0};
}

bool rn_launched_speaks(void) {
  return rn_launched_detect().rank == 0;
}

bool rn_launched_speaks_late(void) {
  enum { PAUSE_S = 10 };
  const rn_launched launched = rn_launched_detect();
  if (launched.rank == 0) return true;
  if (strncmp(launched.variable, "SLURM", 5) == 0) return false;
  /* The mpirun of Open MPI ends a process by SIGCONT and then, maybe seconds later, SIGTERM. */
  const struct timespec pause = {.tv_sec = PAUSE_S};
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGCONT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, NULL);
  return sigtimedwait(&ends, NULL, &pause) < 0;
}
