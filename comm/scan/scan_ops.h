/**
 * What an algorithm of the scan implements, and the state that all of them share.
 *
 * scan.c is the one state machine behind the port: it takes MPI from the communication thread,
 * counts waiting time, keeps the error of a poll for the next call, and calls the algorithm.
 */
#ifndef RN_COMM_SCAN_SCAN_OPS_H
#define RN_COMM_SCAN_SCAN_OPS_H

#include <mpi.h>
#include <stdbool.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_channel.h"
#include "comm/scan/scan_cost.h"

enum { RN_SCAN_DIRECTIONS = 2, RN_SCAN_BUFFERS = 2 };

/** One algorithm. Calls that it does not need are NULL. */
typedef struct rn_scan_ops {
  const char *name; /* the value of parallel.scan */
  bool blocks;      /* states are sent in blocks whose size is measured at create */
  /** Whether one message can hold such states. */
  bool (*fits)(rn_scan_shape shape);
  size_t (*bytes)(rn_scan_shape shape, int rank, int ranks);
  rn_status (*create)(rn_err *err, rn_scan *scan);
  /** Frees scan->impl; takes a half-built one. *ended: as rn_scan_channel_destroy. */
  void (*destroy)(rn_scan *scan, bool *ended);
  rn_status (*begin)(rn_err *err, rn_scan *scan);
  /** Progresses messages without waiting; the thread calls it when `by_thread`, else poll() does.
   */
  rn_progress_state (*progress)(rn_err *err, rn_scan *scan, bool by_thread);
  /** Whether end() would return without waiting, as far as the last progress() knows. */
  bool (*test)(const rn_scan *scan);
  /** Completes the scan; scan->before is then the result, NULL for zero. */
  rn_status (*end)(rn_err *err, rn_scan *scan);
  /** Updates the algorithm's own states, once the caller has its copy of the result. */
  void (*update)(rn_scan *scan);
  /** The caller's own fold of its piece: after [n, matrix]. */
  rn_status (*publish)(rn_err *err, rn_scan *scan, const float *after);
  void (*describe)(const rn_scan *scan, char *text, size_t bytes);
} rn_scan_ops;

extern const rn_scan_ops rn_scan_pipelined, rn_scan_doubling, rn_scan_exscan, rn_scan_ordered,
    rn_scan_single_rank;

/** States between segments: from the last rank of a segment to the first rank of the next. */
typedef struct rn_scan_wraparound {
  /* by direction and rn_channel_direction: [layers, RN_SCAN_BUFFERS]; NULL: not this rank's */
  rn_scan_channel *channel[RN_SCAN_DIRECTIONS][2];
  rn_scan_channel *from, *to; /* of the current scan: the segment before, the one after; or NULL */
} rn_scan_wraparound;

struct rn_scan {
  rn_scan_port port;
  const rn_scan_ops *ops;
  void *impl;             /* the algorithm's own state */
  rn_comm_thread *thread; /* progresses messages; NULL: poll() does */
  rn_scan_shape shape;
  MPI_Comm axis[RN_SCAN_DIRECTIONS]; /* ranks in the order in which the state passes them */
  int position[RN_SCAN_DIRECTIONS], size;
  rn_scan_blocks blocks;
  rn_scan_cost cost; /* measured, where there are blocks to choose */
  rn_scan_wraparound wraparound;
  int segment, segments;
  const float *initial; /* [layers, n, matrix] before segment 0; NULL: zero */
  float *final;         /* [layers, n, matrix] after the last segment; NULL: not written */
  int64_t bytes_sent;
  double wait_s;
  rn_err poll_err; /* what went wrong in progress(), for the next call to return */

  /* the current scan */
  rn_scan_direction direction;
  int layer, n;
  const float *own;
  double *log_decay;   /* [heads]; -inf where a factor is below the shape's epsilon */
  float *factor;       /* [heads]: as rn_scan_factor */
  const float *before; /* [n, matrix]: the result; NULL: zero */
  float *out;          /* [n, matrix]: the state after this piece; NULL: not needed */
  const float *origin; /* [n, matrix] before the sequence; NULL: zero, or not this rank's */
  float *remains;      /* [n, matrix] after the sequence; NULL: not written here */
};

/** Bytes of [n, matrix] of the current scan. */
static inline size_t rn_scan_state_bytes(const rn_scan *scan) {
  return (size_t)scan->n * (size_t)scan->shape.matrix * sizeof(float);
}

/** This rank's position along the current direction. */
static inline int rn_scan_position(const rn_scan *scan) {
  return scan->position[scan->direction];
}

/** The segment's index along the current direction. */
static inline int rn_scan_segment_index(const rn_scan *scan) {
  return scan->direction == RN_SCAN_FORWARD ? scan->segment : scan->segments - 1 - scan->segment;
}

/** exp(log a), and 0 where that is below the smallest normal number: then nothing passes. */
float rn_scan_factor(double log_decay);

/** out = factor before + own, and own alone where the factor is 0; elements of [n, matrix]. */
void rn_scan_advance(const rn_scan *scan, rn_range elements);
/** The same for all elements of the current scan. */
void rn_scan_advance_all(const rn_scan *scan);

#endif
