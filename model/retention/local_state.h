/**
 * The local port of the scan: states kept from call to call, by layer, without communication.
 *
 *   before(layer) = S(layer),  then  S(layer) <- exp(log a) S(layer) + own
 *
 * With zero states it is the port of a single rank (before = 0). With kept states it passes a
 * prompt's state to decoding, or one segment's state to the next segment. REVERSE scans have their
 * own states, the adjoints.
 */
#ifndef RN_MODEL_RETENTION_LOCAL_STATE_H
#define RN_MODEL_RETENTION_LOCAL_STATE_H

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/ports/scan_port.h"

typedef struct rn_local_state rn_local_state;

/**
 * Zero states [layers][sequences H, K, V], for at most these numbers of layers and sequences.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_local_state_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                                rn_local_state **out);
void rn_local_state_destroy(rn_local_state **local_state);

/** Resets all states to zero; call between sequences. */
void rn_local_state_reset(rn_local_state *local_state);

/** Resets the states of one direction to zero: FORWARD states, REVERSE adjoints. */
void rn_local_state_start(rn_local_state *local_state, rn_scan_direction direction);

/** The port; valid as long as local_state. */
rn_scan_port *rn_local_state_port(rn_local_state *local_state);

/** State [sequences H, K, V] of a layer, in local_state's own memory; the caller may write it. */
rn_real *rn_local_state_state(rn_local_state *local_state, rn_scan_direction direction, int layer);

#endif
