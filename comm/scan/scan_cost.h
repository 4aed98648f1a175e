/**
 * What a scan costs, by the terms of its messages, and the block size that makes a chain cheapest.
 *
 * With latency a, time b per byte moved and c per byte combined, for P ranks and S bytes of state:
 *
 *   chain of n blocks   (P - 2 + n) (a + S (b + c) / n),   least at n = sqrt((P - 2) S (b + c) / a)
 *   doubling            ceil(log2 P) (a + S (b + 2 c))
 *   exscan, ordered     (P - 1) (a + S b) + (P - 2) S c,   without pipelining
 */
#ifndef RN_COMM_SCAN_SCAN_COST_H
#define RN_COMM_SCAN_SCAN_COST_H

#include <mpi.h>

#include "comm/scan/scan.h"

/** Bytes of the smallest and the largest block that is chosen. */
enum { RN_SCAN_MIN_BLOCK = 4096, RN_SCAN_MAX_BLOCK = 262144 };

/** Seconds a message, a byte on its way, a byte of state combined. */
typedef struct rn_scan_cost {
  double latency_s, byte_s, combine_s;
} rn_scan_cost;

/**
 * Measures the three between neighbours in a few milliseconds; the slowest rank's count.
 * Collective: over the communicator, of two ranks or more; takes no memory.
 */
rn_status rn_scan_cost_measure(rn_err *err, MPI_Comm comm, rn_scan_cost *out);

/** Seconds of a scan that nothing hides; `block_bytes` matters to the chain alone. */
double rn_scan_cost_s(rn_scan_cost cost, rn_scan_algorithm algorithm, int ranks, int64_t bytes,
                      int64_t block_bytes);

/** The power of two within the bounds above that makes a chain for states of `bytes` cheapest. */
int64_t rn_scan_cost_block(rn_scan_cost cost, int ranks, int64_t bytes);

#endif
