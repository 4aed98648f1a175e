/**
 * Implements a scan port that does not communicate. It keeps the state of each layer from one scan
 * to the next.
 *
 *   before(layer) = S(layer),  then  S(layer) <- exp(log a) S(layer) + own
 *
 * If the states are reset before each scan, this is the port of a single rank (before = 0).
 * Otherwise, it passes the state after a prompt to decoding, or the state after a segment to the
 * next segment. REVERSE scans have separate states, the adjoints.
 */
#ifndef RN_MODEL_RETENTION_LOCAL_STATE_H
#define RN_MODEL_RETENTION_LOCAL_STATE_H

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/ports/scan_port.h"

typedef struct rn_local_state rn_local_state;

/**
 * Creates states [layers][sequences H, K, V], all zero, for at most the given numbers of layers and
 * sequences.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_local_state_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                                rn_local_state **out);
void rn_local_state_destroy(rn_local_state **local_state);

/** Resets all states to zero; call between sequences. */
void rn_local_state_reset(rn_local_state *local_state);

/** Resets the states of one direction to zero: FORWARD states, REVERSE adjoints. */
void rn_local_state_start(rn_local_state *local_state, rn_scan_direction direction);

/** Returns the port, which is valid until local_state is destroyed. */
rn_scan_port *rn_local_state_port(rn_local_state *local_state);

/** Returns the state [sequences H, K, V] of a layer. It is owned by local_state; the caller may
 * modify it. */
rn_real *rn_local_state_state(rn_local_state *local_state, rn_scan_direction direction, int layer);

/** Copies the state [n, m] to `before`, then adds an element of the scan to the state: S <- exp(log
 * a) S + own. */
void rn_local_state_advance(rn_scan_element element, rn_real *state, rn_real *before);

#endif
