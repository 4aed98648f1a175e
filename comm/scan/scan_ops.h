/**
 * The interface of a scan algorithm, and the state that all algorithms share.
 *
 * scan.c implements the port for all of them: it acquires MPI from the communication thread, counts
 * waiting time, stores an error of progress() for the next call, and calls the algorithm.
 */
#ifndef RN_COMM_SCAN_SCAN_OPS_H
#define RN_COMM_SCAN_SCAN_OPS_H

#include <mpi.h>
#include <stdbool.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_channel.h"
#include "comm/scan/scan_cost.h"

enum { RN_SCAN_DIRECTIONS = 2, RN_SCAN_BUFFERS = 2 };

/** An algorithm. Functions that it does not need are NULL. */
typedef struct rn_scan_ops {
  const char *name; /* the value of parallel.scan */
  bool blocks;      /* states are sent in blocks whose size is measured at create */
  /** True if one message can hold states of this shape; NULL: always. */
  bool (*fits)(rn_scan_shape shape);
  size_t (*bytes)(rn_scan_shape shape, int rank, int ranks);
  rn_status (*create)(rn_err *err, rn_scan *scan);
  /** Frees scan->impl, which may be partly built; *ended as in rn_scan_channel_destroy. */
  void (*destroy)(rn_scan *scan, bool *ended);
  rn_status (*begin)(rn_err *err, rn_scan *scan);
  /** Progresses messages without waiting; called by the thread if `by_thread`, else by poll(). */
  rn_progress_state (*progress)(rn_err *err, rn_scan *scan, bool by_thread);
  /** True if end() would not wait, as of the last progress(). */
  bool (*test)(const rn_scan *scan);
  /** Completes the scan; scan->before is then the result, NULL for zero. */
  rn_status (*end)(rn_err *err, rn_scan *scan);
  /** Updates the algorithm's own states, once the caller has its copy of the result. */
  void (*update)(rn_scan *scan);
  /** Takes the state after the piece that the caller computed: after [n, matrix]. */
  rn_status (*publish)(rn_err *err, rn_scan *scan, const float *after);
  void (*describe)(const rn_scan *scan, char *text, size_t bytes);
} rn_scan_ops;

extern const rn_scan_ops rn_scan_pipelined, rn_scan_doubling, rn_scan_exscan, rn_scan_ordered,
    rn_scan_single_rank;

/** States between segments: from the last rank of a segment to the first rank of the next. */
typedef struct rn_scan_wraparound {
  /* by direction and rn_channel_direction: [layers, RN_SCAN_BUFFERS]; NULL: not on this rank */
  rn_scan_channel *channel[RN_SCAN_DIRECTIONS][2];
  rn_scan_channel *from, *to; /* of the current scan: previous and next segment, or NULL */
} rn_scan_wraparound;

struct rn_scan {
  rn_scan_port port;
  const rn_scan_ops *ops;
  void *impl;             /* the algorithm's own state */
  rn_comm_thread *thread; /* calls progress(); NULL: poll() does */
  rn_scan_shape shape;
  MPI_Comm axis[RN_SCAN_DIRECTIONS]; /* ranks in the order in which the state visits them */
  int position[RN_SCAN_DIRECTIONS], size;
  rn_scan_blocks blocks;
  rn_scan_cost cost; /* measured if there is a block size to choose; else 0 */
  rn_scan_wraparound wraparound;
  int segment, segments;
  const float *initial; /* [layers, n, matrix] before segment 0; NULL: zero */
  float *final;         /* [layers, n, matrix] after the last segment; NULL: not written */
  int64_t bytes_sent;
  double wait_s;
  rn_err poll_err; /* error of progress(), which the next call returns */

  /* the current scan */
  rn_scan_direction direction;
  int layer, n;
  const float *own;
  double *log_decay;   /* [heads]; -inf if the factor is below shape.epsilon */
  float *factor;       /* [heads]: rn_scan_factor(log_decay) */
  const float *before; /* [n, matrix]: the result; NULL: zero */
  float *out;          /* [n, matrix]: the state after this piece; NULL: not needed */
  /* [n, matrix] before the sequence (NULL: zero, or not on this rank), and after it (NULL: not
   * written here) */
  const float *sequence_initial;
  float *sequence_final;
};

/** Bytes of [n, matrix] of the current scan. Not collective. Errors: none. */
static inline size_t rn_scan_state_bytes(const rn_scan *scan) {
  return (size_t)scan->n * (size_t)scan->shape.matrix * sizeof(float);
}

/** This rank's position along the current direction. Not collective. Errors: none. */
static inline int rn_scan_position(const rn_scan *scan) {
  return scan->position[scan->direction];
}

/** The segment's index along the current direction. Not collective. Errors: none. */
static inline int rn_scan_segment_index(const rn_scan *scan) {
  return scan->direction == RN_SCAN_FORWARD ? scan->segment : scan->segments - 1 - scan->segment;
}

/** exp(log_decay), or 0 if that is below FLT_MIN: the state is then reset. Not collective. Errors:
 * none. */
float rn_scan_factor(double log_decay);

/**
 * out = factor before + own, or own if the factor is 0, for a range of [n, matrix].
 * Not collective. Errors: none.
 */
void rn_scan_advance(const rn_scan *scan, rn_range elements);
/** The same for all elements of the current scan. Not collective. Errors: none. */
void rn_scan_advance_all(const rn_scan *scan);

#endif
