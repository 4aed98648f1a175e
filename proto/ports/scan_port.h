/**
 * How the model asks for "the state before this segment" without knowing who supplies it.
 *
 * The element of the scan is (log a, X): a matrix X that a piece of a sequence adds to the state
 * and the factor a by which the piece fades what came before:
 *
 *   (log a1, X1) then (log a2, X2) = (log a1 + log a2, exp(log a2) X1 + X2)
 *
 * It is associative and not commutative; log a = -inf marks a document boundary inside the piece.
 * comm/ supplies ports across ranks, model/retention/local_state.h that of a rank alone, tests
 * supply fakes.
 */
#ifndef RN_PROTO_PORTS_SCAN_PORT_H
#define RN_PROTO_PORTS_SCAN_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/real.h"
#include "proto/base/status.h"

typedef enum {
  RN_SCAN_FORWARD, /* states: from the first token to the last */
  RN_SCAN_REVERSE  /* adjoints: from the last to the first */
} rn_scan_direction;

/**
 * Shapes:     log_decay [n]; own, before [n, m]: n heads of all sequences at hand (B H), m = K V.
 * Collective: over the ranks that share the sequence; all make the same calls in the same order.
 * Ownership:  own and log_decay stay untouched by the caller until end() returns.
 * Overlap:    work between begin() and end() hides the transfer; poll() moves it along.
 */
typedef struct rn_scan_port {
  void *self;
  /** Ranks that a state passes one after the other: work that hides them polls at least so often.
   */
  int hops;
  /** Starts one scan; `layer` tells scans apart for ports that keep a state by layer. */
  rn_status (*begin)(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                     int64_t m, const double *log_decay, const rn_real *own);
  /** Progresses messages without waiting; cheap, called between product tiles. */
  void (*poll)(void *self);
  /** Completes the scan: before = the state before this piece (after it, when REVERSE). */
  rn_status (*end)(void *self, rn_err *err, rn_real *before);
  /**
   * NULL except in reproducible mode, whose port ignores `own`: it uses the state that the caller
   * folds chunk by chunk and passes here, once after end(). after [n, m] = the state after this
   * piece (before it, when REVERSE); the caller may reuse the memory on return.
   */
  rn_status (*publish)(void *self, rn_err *err, const rn_real *after);
  /** NULL, or whether end() would return at once, as far as the last poll knows; no MPI call. */
  bool (*test)(void *self);
} rn_scan_port;

#endif
