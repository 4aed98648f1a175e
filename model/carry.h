/**
 * The local port of the scan: states that go on from call to call, by layer, with no communication.
 *
 *   before(layer) = S(layer),  then  S(layer) <- exp(log a) S(layer) + own
 *
 * Fresh, it is the "alone" port of one rank (before = 0). Kept, it carries a prompt's state into
 * decoding, or one piece of a sequence into the next. REVERSE scans keep adjoints of their own.
 */
#ifndef RN_MODEL_CARRY_H
#define RN_MODEL_CARRY_H

#include "model/names.h"
#include "model/spec.h"
#include "proto/scan_port.h"

typedef struct rn_carry rn_carry;

/** Bytes of the states. */
size_t rn_carry_bytes(const rn_spec *spec, int layers, int sequences);

/** States [layers][sequences H, K, V] of zero, for layers and sequences of at most these numbers.
 */
rn_status rn_carry_create(rn_err *err, const rn_spec *spec, int layers, int sequences,
                          rn_carry **out);
void rn_carry_destroy(rn_carry **carry);

/** The port of reproducible mode from now on: states are those that the caller passes. */
void rn_carry_fold_by_caller(rn_carry *carry);

/** Back to zero states; to be called between sequences. */
void rn_carry_reset(rn_carry *carry);

/** Back to zero states in one direction: of states, or of adjoints. */
void rn_carry_start(rn_carry *carry, rn_scan_direction direction);

/** The port, valid as long as the carry is. */
rn_scan_port *rn_carry_port(rn_carry *carry);

/** State [sequences H, K, V] of a layer, the carry's own memory; may be written. */
rn_real *rn_carry_state(rn_carry *carry, rn_scan_direction direction, int layer);

#endif
