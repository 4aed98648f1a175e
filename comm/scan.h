/** Inside of the scan: what its three algorithms share. Each gives begin, poll and end. */
#ifndef RN_COMM_SCAN_H
#define RN_COMM_SCAN_H

#include <mpi.h>
#include <stdbool.h>

#include "comm/chain.h"

enum { RN_SCAN_MAX_BLOCKS = 64, RN_SCAN_MIN_BLOCK = 16384 };

struct rn_chain {
  rn_scan_port port;
  rn_scan_algorithm algorithm;
  MPI_Comm axis[2]; /* by direction: ranks in the order in which the state passes them */
  int position[2], size;
  int max_n;
  int64_t max_m;
  int64_t bytes_sent;
  double wait_s;

  rn_scan_direction direction; /* of the scan at hand */
  int n;
  int64_t m;
  const double *log_decay;
  const float *own;
  float *factor;       /* [n] exp(log a), 0 where it is below the smallest normal number */
  float *before, *out; /* [n, m] */
  float *received;     /* [n, m]; doubling only */
  double *log_sum;     /* [2, n]; doubling only */
  char *elements;      /* [2, n] of {log a, X}; exscan only */
  MPI_Op compose;      /* exscan only */

  int64_t block; /* elements of a block; chain only */
  int blocks, next;
  rn_err poll_err; /* what went wrong in poll(), for end() to return */
  bool sent[RN_SCAN_MAX_BLOCKS];
  MPI_Request receive[RN_SCAN_MAX_BLOCKS], send[RN_SCAN_MAX_BLOCKS];
};

/* out = factor before + own, and own alone where the factor is 0; elements begin .. end-1 of [n,
 * m]. */
void rn_scan_advance(const rn_chain *chain, int64_t begin, int64_t end);

rn_status rn_scan_chain_begin(rn_err *err, rn_chain *chain);
void rn_scan_chain_poll(rn_chain *chain);
rn_status rn_scan_chain_end(rn_err *err, rn_chain *chain);
rn_status rn_scan_doubling(rn_err *err, rn_chain *chain);
rn_status rn_scan_exscan_create(rn_err *err, rn_chain *chain);
rn_status rn_scan_exscan(rn_err *err, rn_chain *chain);

#endif
