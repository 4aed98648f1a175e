/** Inside of the scan: what its three algorithms share. Each gives begin, poll and end. */
#ifndef RN_COMM_SCAN_SCAN_INTERNAL_H
#define RN_COMM_SCAN_SCAN_INTERNAL_H

#include <mpi.h>
#include <stdbool.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_channel.h"
#include "comm/scan/scan_cost.h"

/* Links by [direction]; a sender has two in turn, so that it need not wait for a slow neighbour. */
enum { RN_SCAN_DIRECTIONS = 2, RN_SCAN_BUFFERS = 2 };

struct rn_scan {
  rn_scan_port port;
  rn_comm_thread *thread; /* polls; NULL: the main thread does */
  rn_scan_algorithm algorithm;
  rn_scan_shape shape;
  rn_scan_blocks blocks;
  MPI_Comm axis[RN_SCAN_DIRECTIONS]; /* ranks in the order in which the state passes them */
  int position[RN_SCAN_DIRECTIONS], size;
  int band, bands;
  const float *initial; /* [layers, n, matrix] before band 0; NULL: zero */
  float *final;         /* [layers, n, matrix] behind the last band; NULL: nobody asks */
  int64_t bytes_sent;
  double wait_s;
  rn_scan_cost cost; /* measured, where there are blocks to choose */

  rn_scan_channel receive[RN_SCAN_DIRECTIONS],
      send[RN_SCAN_DIRECTIONS][RN_SCAN_BUFFERS]; /* chain */
  int turn[RN_SCAN_DIRECTIONS];
  rn_scan_channel
      *ring[RN_SCAN_DIRECTIONS][2]; /* by rn_channel_direction: [layers, RN_SCAN_BUFFERS] */
  float *states;                    /* [3, heads, matrix]; not for the chain */
  double *log_sum;                  /* [3, heads]; doubling only */
  char *elements;                   /* [2, heads] of {log a, X}; exscan only */
  MPI_Op compose;                   /* exscan only */

  rn_scan_direction direction; /* of the scan at hand */
  int n;
  const float *own;
  double *log_decay;   /* [heads]; -inf where a factor is below the shape's epsilon */
  float *factor;       /* [heads]: as rn_scan_factor */
  const float *before; /* [n, matrix]; NULL: zero */
  float *out;          /* [n, matrix]; NULL: nobody asks for it */
  rn_scan_channel *ring_from, *ring_to; /* the band before and the one behind; NULL: none */
  const float *origin;        /* [n, matrix] that the first rank starts from; NULL: zero */
  float *remains;             /* [n, matrix] for the last rank to fill; NULL: nobody asks */
  rn_scan_channel *from, *to; /* of the chain: a neighbour or a band */
  int pending, *arrived;      /* blocks to come; [blocks] work space */
  rn_err poll_err;            /* what went wrong in poll(), for end() to return */
};

/* exp(log a), and 0 where that is below the smallest normal number: then nothing passes. */
float rn_scan_factor(double log_decay);

/* out = factor before + own, and own alone where the factor is 0; elements of [n, matrix]. */
void rn_scan_advance(const rn_scan *scan, rn_range elements);
/* The same for all elements of the scan at hand. */
void rn_scan_advance_all(const rn_scan *scan);

rn_status rn_scan_pipelined_create(rn_err *err, rn_scan *scan);
void rn_scan_pipelined_destroy(rn_scan *scan, bool *ended);
rn_status rn_scan_pipelined_begin(rn_err *err, rn_scan *scan);
void rn_scan_pipelined_poll(rn_scan *scan);
rn_progress_state rn_scan_pipelined_progress(rn_scan *scan);
rn_status rn_scan_pipelined_end(rn_err *err, rn_scan *scan);
rn_status rn_scan_doubling_create(rn_err *err, rn_scan *scan);
rn_status rn_scan_doubling(rn_err *err, rn_scan *scan);
rn_status rn_scan_exscan_create(rn_err *err, rn_scan *scan);
rn_status rn_scan_exscan(rn_err *err, rn_scan *scan);

#endif
