/*
 * Recursive doubling: in round d a rank passes what it knows of the last d pieces to rank + d.
 * Source: Hillis & Steele, Data Parallel Algorithms (1986), made exclusive.
 */
#include <math.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "comm/scan.h"

/* (log of a piece) `far` in front of x: x += exp(log x) far; a reset keeps out even a NaN. */
static void put_in_front(int n, int64_t m, const double *log_x, const float *far, float *x) {
  for (int i = 0; i < n; i++) {
    const float factor = (float)exp(log_x[i]);
    if (factor == 0) continue;
    for (int64_t e = i * m; e < (i + 1) * m; e++) x[e] += factor * far[e];
  }
}

/* before (with its log) and out (with its log) are what lies in front of this rank, without and
 * with it. */
rn_status rn_scan_doubling(rn_err *err, rn_chain *chain) {
  const int n = chain->n, rank = chain->position[chain->direction];
  const int64_t m = chain->m, total = n * m;
  MPI_Comm axis = chain->axis[chain->direction];
  double *log_out = chain->log_sum, *log_before = log_out + n, *log_far = log_before + n;
  memset(chain->before, 0, (size_t)total * sizeof(float));
  memcpy(chain->out, chain->own, (size_t)total * sizeof(float));
  for (int i = 0; i < n; i++) {
    log_out[i] = chain->log_decay[i];
    log_before[i] = 0;
  }
  for (int d = 1; d < chain->size; d *= 2) {
    const int to = rank + d < chain->size ? rank + d : MPI_PROC_NULL;
    const int from = rank - d >= 0 ? rank - d : MPI_PROC_NULL;
    if (to != MPI_PROC_NULL) {
      chain->bytes_sent += total * (int64_t)sizeof(float) + n * (int64_t)sizeof(double);
    }
    RN_MPI(err, MPI_Sendrecv(log_out, n, MPI_DOUBLE, to, 0, log_far, n, MPI_DOUBLE, from, 0, axis,
                             MPI_STATUS_IGNORE));
    RN_MPI(err, MPI_Sendrecv(chain->out, (int)total, MPI_FLOAT, to, 1, chain->received, (int)total,
                             MPI_FLOAT, from, 1, axis, MPI_STATUS_IGNORE));
    if (from == MPI_PROC_NULL) continue;
    put_in_front(n, m, log_before, chain->received, chain->before);
    put_in_front(n, m, log_out, chain->received, chain->out);
    for (int i = 0; i < n; i++) {
      log_before[i] += log_far[i];
      log_out[i] += log_far[i];
    }
  }
  return RN_OK;
}
