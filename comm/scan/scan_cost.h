/**
 * Models the time of the scan algorithms, and finds the block size that minimises the time of the
 * pipelined scan.
 *
 * Seconds of a scan, for latency a, time b per byte moved and c per byte combined, P ranks and S
 * bytes of state:
 *
 *   pipelined, n blocks    (P - 2 + n) * (a + S * (b + c) / n)
 *                          minimal at n = sqrt((P - 2) * S * (b + c) / a)
 *   doubling               ceil(log2 P) * (a + S * (b + 2 * c))
 *   exscan, ordered        (P - 1) * (a + S * b) + (P - 2) * S * c, without pipelining
 */
#ifndef RN_COMM_SCAN_SCAN_COST_H
#define RN_COMM_SCAN_SCAN_COST_H

#include <mpi.h>

#include "comm/scan/scan.h"

/** Range of block sizes, in bytes. */
enum { RN_SCAN_MIN_BLOCK = 4096, RN_SCAN_MAX_BLOCK = 262144 };

/** Seconds per message (a), per byte moved (b), per byte of state combined (c). */
typedef struct rn_scan_cost {
  double latency_s, byte_s, combine_s;
} rn_scan_cost;

/**
 * Measures the cost between neighbours, which takes a few milliseconds; the result is the maximum
 * over the ranks.
 * Collective: over the communicator, which has two or more ranks. Errors: RN_ERR_MPI.
 */
rn_status rn_scan_cost_measure(rn_err *err, MPI_Comm comm, rn_scan_cost *out);

/**
 * Returns the estimated duration of a scan in seconds, without overlap with computation; only the
 * pipelined scan uses `block_bytes`.
 * Not collective. Errors: none.
 */
double rn_scan_cost_s(rn_scan_cost cost, rn_scan_algorithm algorithm, int ranks, int64_t bytes,
                      int64_t block_bytes);

/**
 * Returns the power of two in [RN_SCAN_MIN_BLOCK, RN_SCAN_MAX_BLOCK] that minimises the time of a
 * pipelined scan of states of `bytes` bytes. Not collective. Errors: none.
 */
int64_t rn_scan_cost_block(rn_scan_cost cost, int ranks, int64_t bytes);

#endif
