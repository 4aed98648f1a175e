#include "comm/scan/scan_cost.h"

#include <math.h>

#include "comm/world/mpi_check.h"

enum {
  LARGE = 32768, /* elements of the large messages, for which the latency is negligible */
  SERIES = 3,
  SMALL_ROUNDS = 10,
  LARGE_ROUNDS = 3
};

/* Measures the time of an MPI_Sendrecv of `count` elements around the ring: each rank sends to one
 * neighbour and receives from the other. *min_s is the minimum of SERIES averages over `rounds`
 * messages each. One timer per message could give too small a value, because a message may have
 * arrived before its timer starts. */
static rn_status time_messages(rn_err *err, MPI_Comm comm, int count, int rounds,
                               float buffer[2][LARGE], double *min_s) {
  int rank, size;
  RN_MPI(err, MPI_Comm_rank(comm, &rank));
  RN_MPI(err, MPI_Comm_size(comm, &size));
  const int to = (rank + 1) % size, from = (rank + size - 1) % size;
  *min_s = INFINITY;
  for (int series = 0; series < SERIES; series++) {
    const double start = MPI_Wtime();
    for (int i = 0; i < rounds; i++) {
      RN_MPI(err, MPI_Sendrecv(buffer[0], count, MPI_FLOAT, to, 0, buffer[1], count, MPI_FLOAT,
                               from, 0, comm, MPI_STATUS_IGNORE));
    }
    *min_s = fmin(*min_s, (MPI_Wtime() - start) / rounds);
  }
  return RN_OK;
}

static double combine(int count, const float *in, float *out) {
  double min_s = INFINITY;
  for (int i = 0; i < SERIES; i++) {
    const double start = MPI_Wtime();
    for (int e = 0; e < count; e++) out[e] = 0.5f * in[e] + out[e];
    min_s = fmin(min_s, MPI_Wtime() - start);
  }
  return min_s;
}

static rn_status measure(rn_err *err, MPI_Comm comm, rn_scan_cost *out) {
  float buffer[2][LARGE];
  double small_s = 0, large_s = 0, terms[3];
  for (int i = 0; i < LARGE; i++) buffer[0][i] = buffer[1][i] = 1;
  RN_TRY(err, time_messages(err, comm, 1, SMALL_ROUNDS, buffer, &small_s));
  RN_TRY(err, time_messages(err, comm, LARGE, LARGE_ROUNDS, buffer, &large_s));
  const double bytes = sizeof buffer[0];
  terms[0] = fmax(small_s, 1e-7);
  terms[1] = fmax(large_s - small_s, 1e-7) / bytes;
  terms[2] = fmax(combine(LARGE, buffer[1], buffer[0]), 1e-7) / bytes;
  RN_MPI(err, MPI_Allreduce(MPI_IN_PLACE, terms, 3, MPI_DOUBLE, MPI_MAX, comm));
  *out = (rn_scan_cost){terms[0], terms[1], terms[2]};
  return RN_OK;
}

/* Tells the watchdog once that this rank waits for others, and not for each message with
 * RN_MPI_WAIT, which would add to the measured times. */
rn_status rn_scan_cost_measure(rn_err *err, MPI_Comm comm, rn_scan_cost *out) {
  rn_progress_wait(true);
  return rn_mpi_waited(measure(err, comm, out));
}

double rn_scan_cost_s(rn_scan_cost c, rn_scan_algorithm algorithm, int ranks, int64_t bytes,
                      int64_t block_bytes) {
  const double S = (double)bytes, moved = c.latency_s + S * c.byte_s;
  const double blocks = fmax(1, ceil(S / (double)block_bytes));
  if (ranks < 2) return 0;
  switch (algorithm) {
    case RN_SCAN_PIPELINED:
      return (ranks - 2 + blocks) * (c.latency_s + S * (c.byte_s + c.combine_s) / blocks);
    case RN_SCAN_DOUBLING:
      return ceil(log2(ranks)) * (moved + 2 * S * c.combine_s);
    case RN_SCAN_EXSCAN:
    case RN_SCAN_ORDERED:
      return (ranks - 1) * moved + (ranks - 2) * S * c.combine_s;
    case RN_SCAN_SINGLE_RANK:
      return 0;
  }
  return 0;
}

int64_t rn_scan_cost_block(rn_scan_cost c, int ranks, int64_t bytes) {
  int64_t best = RN_SCAN_MIN_BLOCK;
  double min_s = INFINITY;
  for (int64_t block = best; block <= RN_SCAN_MAX_BLOCK; block *= 2) {
    const double s = rn_scan_cost_s(c, RN_SCAN_PIPELINED, ranks, bytes, block);
    if (s >= min_s) continue;
    min_s = s;
    best = block;
  }
  return best;
}
