/**
 * The local port of the scan: states that go on from call to call, by layer, with no communication.
 *
 *   before(layer) = S(layer),  then  S(layer) <- exp(log a) S(layer) + own
 *
 * Fresh, it is the "alone" port of one rank (before = 0). Kept, it carries a prompt's state into
 * decoding, or one piece of a sequence into the next. REVERSE scans keep adjoints of their own.
 */
#ifndef RN_MODEL_RETENTION_LOCAL_STATE_H
#define RN_MODEL_RETENTION_LOCAL_STATE_H

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/ports/scan_port.h"

typedef struct rn_local_state rn_local_state;

/** Bytes of the states. */
size_t rn_local_state_bytes(const rn_spec *spec, int layers, int sequences);

/** States [layers][sequences H, K, V] of zero, for layers and sequences of at most these numbers.
 */
rn_status rn_local_state_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                                rn_local_state **out);
void rn_local_state_destroy(rn_local_state **local_state);

/** The port of reproducible mode from now on: states are those that the caller passes. */
void rn_local_state_order_by_caller(rn_local_state *local_state);

/** Back to zero states; to be called between sequences. */
void rn_local_state_reset(rn_local_state *local_state);

/** Back to zero states in one direction: of states, or of adjoints. */
void rn_local_state_start(rn_local_state *local_state, rn_scan_direction direction);

/** The port, valid as long as the carry is. */
rn_scan_port *rn_local_state_port(rn_local_state *local_state);

/** State [sequences H, K, V] of a layer, the carry's own memory; may be written. */
rn_real *rn_local_state_state(rn_local_state *local_state, rn_scan_direction direction, int layer);

#endif
