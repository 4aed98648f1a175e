/**
 * Declares the interface of a scan algorithm, and the state that all algorithms share.
 *
 * scan.c implements the port on top of any algorithm: it acquires MPI from the communication
 * thread, measures the time spent waiting, stores an error of progress() until the next call can
 * return it, and calls the algorithm.
 */
#ifndef RN_COMM_SCAN_SCAN_OPS_H
#define RN_COMM_SCAN_SCAN_OPS_H

#include <mpi.h>
#include <stdbool.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_channel.h"
#include "comm/scan/scan_cost.h"

enum { RN_SCAN_DIRECTIONS = 2, RN_SCAN_BUFFERS = 2 };

/** The functions of one algorithm; functions that it does not need are NULL. */
typedef struct rn_scan_ops {
  const char *name; /* the value of parallel.scan */
  bool blocks; /* true if states are sent in blocks; rn_scan_create then measures the best block
                  size */
  /** True if one message can hold states of this shape; NULL: always. */
  bool (*fits)(rn_scan_shape shape);
  size_t (*bytes)(rn_scan_shape shape, int rank, int ranks);
  rn_status (*create)(rn_err *err, rn_scan *scan);
  /** Frees scan->impl, which may be partly built; `ended` as in rn_scan_channel_destroy. */
  void (*destroy)(rn_scan *scan, bool *ended);
  rn_status (*begin)(rn_err *err, rn_scan *scan);
  /** Progresses messages without waiting. `by_thread` is true if the communication thread calls it,
   * false if poll() does. */
  rn_progress_state (*progress)(rn_err *err, rn_scan *scan, bool by_thread);
  /** True if everything that end() needs had arrived at the last progress(). */
  bool (*test)(const rn_scan *scan);
  /** Completes the scan; on return scan->before is the result (NULL: zero). */
  rn_status (*end)(rn_err *err, rn_scan *scan);
  /** Updates the states that the algorithm keeps; called after the result has been copied to the
   * caller. */
  void (*update)(rn_scan *scan);
  /** Takes `after` [n, matrix], the state after this piece, which the caller has computed. */
  rn_status (*publish)(rn_err *err, rn_scan *scan, const float *after);
  void (*describe)(const rn_scan *scan, char *text, size_t bytes);
} rn_scan_ops;

extern const rn_scan_ops rn_scan_pipelined, rn_scan_doubling, rn_scan_exscan, rn_scan_ordered,
    rn_scan_single_rank;

/** Channels that transfer the state from the last rank to the first rank at the end of a segment.
 */
typedef struct rn_scan_wraparound {
  /* indexed by scan direction and rn_channel_direction; each [layers, RN_SCAN_BUFFERS], or NULL if
   * this rank does not use it */
  rn_scan_channel *channel[RN_SCAN_DIRECTIONS][2];
  /* channels of the current scan: from the previous segment and to the next segment */
  rn_scan_channel *from, *to;
} rn_scan_wraparound;

struct rn_scan {
  rn_scan_port port;
  const rn_scan_ops *ops;
  void *impl;             /* the algorithm's own state */
  rn_comm_thread *thread; /* calls progress(); NULL: poll() calls it */
  rn_scan_shape shape;
  MPI_Comm axis[RN_SCAN_DIRECTIONS]; /* ranks of the sequence axis, in the order of the scan */
  int position[RN_SCAN_DIRECTIONS], size;
  rn_scan_blocks blocks;
  rn_scan_cost cost; /* measured cost if the algorithm uses blocks; else 0 */
  rn_scan_wraparound wraparound;
  int segment, segments;
  const float *initial; /* [layers, n, matrix] state before segment 0; NULL: zero */
  float *final;         /* [layers, n, matrix] state after the last segment; NULL: not written */
  int64_t bytes_sent;
  double wait_s[RN_SCAN_DIRECTIONS]; /* time spent in end() */
  /* part of wait_s in which a block had arrived, but a test's delay held it back */
  double held_s[RN_SCAN_DIRECTIONS];
  rn_err poll_err; /* error of an earlier progress(), not returned yet; the next call of the port
                      returns it */

  /* ---- the current scan ---- */
  rn_scan_direction direction;
  int layer, n;
  const float *own;
  double *log_decay;   /* [heads]; -inf if the factor is below shape.epsilon */
  float *factor;       /* [heads]: rn_scan_factor(log_decay) */
  const float *before; /* [n, matrix]: state before this piece, the result; NULL: zero */
  float *out;          /* [n, matrix]: the state after this piece; NULL: not needed */
  /* [n, matrix] state before the sequence; NULL: zero, or this piece is not the first
   */
  const float *sequence_initial;
  /* [n, matrix] destination of the state after the sequence; NULL: this rank does not write it */
  float *sequence_final;
};

/** Returns the size in bytes of an [n, matrix] array of the current scan. Not collective. Errors:
 * none.
 */
static inline size_t rn_scan_state_bytes(const rn_scan *scan) {
  return (size_t)scan->n * (size_t)scan->shape.matrix * sizeof(float);
}

/** Returns this rank's position along the direction of the current scan. Not collective. Errors:
 * none. */
static inline int rn_scan_position(const rn_scan *scan) {
  return scan->position[scan->direction];
}

/** Returns the index of the segment along the direction of the current scan. Not collective.
 * Errors: none. */
static inline int rn_scan_segment_index(const rn_scan *scan) {
  return scan->direction == RN_SCAN_FORWARD ? scan->segment : scan->segments - 1 - scan->segment;
}

/** Returns exp(log_decay), or 0 (the state is reset) if that is below FLT_MIN. Not collective.
 * Errors: none. */
float rn_scan_factor(double log_decay);

/**
 * Computes out = factor * before + own, or out = own if the factor is 0, for a range of [n,
 * matrix]. Not collective. Errors: none.
 */
void rn_scan_advance(const rn_scan *scan, rn_range elements);
/** Calls rn_scan_advance for all elements of the current scan. Not collective. Errors: none. */
void rn_scan_advance_all(const rn_scan *scan);

#endif
