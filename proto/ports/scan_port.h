/**
 * Defines the interface through which the model receives the retention state before this rank's
 * piece of a sequence. A piece is the range of tokens that a rank processes together.
 *
 * The scan combines elements (log a, X), one per piece of a sequence: X is the matrix that the
 * piece adds to the state, and a the factor by which the earlier state decays over the piece:
 *
 *   (log a1, X1) then (log a2, X2) = (log a1 + log a2, exp(log a2) * X1 + X2)
 *
 * The operation is associative but not commutative. log a = -inf means that the piece contains a
 * document boundary. comm/ implements ports across ranks, model/retention/local_state.h implements
 * the port of a single rank, and tests implement fakes.
 */
#ifndef RN_PROTO_PORTS_SCAN_PORT_H
#define RN_PROTO_PORTS_SCAN_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/real.h"
#include "proto/base/status.h"

typedef enum {
  RN_SCAN_FORWARD, /* states: from the first token to the last */
  RN_SCAN_REVERSE  /* adjoints: from the last token to the first */
} rn_scan_direction;

/** The element of this rank: n = B * H heads (B sequences of H heads); the state of each head has
 * m = K * V elements. */
typedef struct rn_scan_element {
  int n;
  int64_t m;
  const double *log_decay; /* [n]: log a */
  const rn_real *own;      /* [n, m]: X */
} rn_scan_element;

/**
 * Shapes:     before [n, m], with n and m of the element.
 * Collective: over the ranks that share the sequence; all of them make the same calls in the same
 *             order.
 * Ownership:  the caller must not change the element's arrays until end() returns.
 * Overlap:    work between begin() and end() hides the transfer; poll() progresses it.
 */
typedef struct rn_scan_port {
  void *self;
  /** Starts one scan; `layer` identifies the scan for ports that keep a state per layer. */
  rn_status (*begin)(void *self, rn_err *err, rn_scan_direction direction, int layer,
                     rn_scan_element element);
  /** Progresses messages without waiting; cheap, called between GEMM tiles. */
  void (*poll)(void *self);
  /** Completes the scan; sets `before` to the state before this piece (if REVERSE, the adjoint
   * after it). */
  rn_status (*end)(void *self, rn_err *err, rn_real *before);
  /**
   * NULL except in reproducible mode. In reproducible mode, the port ignores `own`; it uses the
   * state that the caller accumulates chunk by chunk and passes to this function, once after end().
   * `after` [n, m] is the state after this piece (if REVERSE, the adjoint before it); the caller
   * may reuse the memory on return.
   */
  rn_status (*publish)(void *self, rn_err *err, const rn_real *after);
  /** May be NULL. Returns true if everything that end() needs had arrived at the last poll; makes
   * no MPI call. */
  bool (*test)(void *self);
} rn_scan_port;

#endif
