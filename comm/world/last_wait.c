#include "comm/world/last_wait.h"

#include "comm/world/backoff.h"

enum { LIMIT_S = 1 };

bool rn_last_wait(int count, MPI_Request *requests) {
  const double begin_s = MPI_Wtime();
  rn_backoff backoff = {0};
  if (count == 0) return true;
  for (int done = 0; MPI_Wtime() - begin_s < LIMIT_S; rn_backoff_wait(&backoff)) {
    const int code = MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
    if (code == MPI_SUCCESS && done) return true;
  }
  return false;
}
