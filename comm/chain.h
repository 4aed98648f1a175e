/**
 * The scan of states across the ranks that share a sequence, behind the model's port.
 *
 *   before(r) = sum over s < r of (product of the factors between s and r) X(s)
 *
 * computed as before(r+1) = a(r) before(r) + X(r) from the first piece on; REVERSE runs from the
 * last piece. The element (log a, X) and its order are those of proto/scan_port.h.
 */
#ifndef RN_COMM_CHAIN_H
#define RN_COMM_CHAIN_H

#include "comm/grid.h"
#include "proto/scan_port.h"

typedef enum {
  RN_SCAN_CHAIN,    /* blocks go from neighbour to neighbour: least volume, hidden by polls */
  RN_SCAN_DOUBLING, /* log2 rounds: for small states */
  RN_SCAN_EXSCAN    /* MPI_Exscan with an operation of our own: the oracle */
} rn_scan_algorithm;

typedef struct rn_chain rn_chain;

/**
 * A scan for at most max_n heads of at most max_m elements. Nothing is allocated afterwards.
 * Collective: over the sequence axis of the grid, which outlives the chain.
 * Errors:     RN_ERR_USAGE when the algorithm cannot send states of this size in one message.
 */
rn_status rn_chain_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm, int max_n,
                          int64_t max_m, rn_chain **out);
void rn_chain_destroy(rn_chain **chain);

/** The port; valid as long as the chain. */
rn_scan_port *rn_chain_port(rn_chain *chain);

/** The rule of parallel.scan: auto, a function of ranks and bytes of one state alone. */
rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes);
const char *rn_scan_name(rn_scan_algorithm algorithm);

/** Bytes that this rank has sent, and seconds that it has waited in end(), since create. */
int64_t rn_chain_bytes_sent(const rn_chain *chain);
double rn_chain_wait_s(const rn_chain *chain);

#endif
