/**
 * Prefill: processes a prompt by forward passes of the model's layers instead of decoder steps. A
 * prompt is processed in units (model/pass/unit.h) of consecutive tokens. The ports that are
 * defined here connect the forward pass of a unit to a slot of the decoder: the pass starts from
 * the states, keys and values in the slot, and replaces them by those after the unit.
 */
#ifndef RN_MODEL_DECODE_PREFILL_H
#define RN_MODEL_DECODE_PREFILL_H

#include "model/base/precision_names.h"
#include "model/decode/decode.h"
#include "proto/ports/row_port.h"
#include "proto/ports/scan_port.h"

typedef struct rn_prefill rn_prefill;

/**
 * Creates the ports of a decoder for units of at most `max_tokens` tokens of one sequence. The
 * decoder must outlive them. Errors: RN_ERR_MEMORY.
 */
rn_status rn_prefill_create(rn_err *err, rn_decoder *decoder, int max_tokens, rn_prefill **out);
void rn_prefill_destroy(rn_prefill **prefill);

/** Returns the spec of the decoder. */
const rn_spec *rn_prefill_spec(const rn_prefill *prefill);
/** Returns the maximum number of tokens of a unit. */
int rn_prefill_max_tokens(const rn_prefill *prefill);

/** The next unit of a slot: its position in the sequence, and the ports for its forward pass. */
typedef struct rn_prefill_unit {
  int64_t position;            /* position of the first token */
  const int32_t *doc_position; /* [tokens]: the whole sequence is one document */
  rn_scan_port *scan;          /* retention layers read and replace the slot's states through it */
  rn_row_port *rows;           /* the same for keys and values; NULL without attention layers */
} rn_prefill_unit;

/** Begins a unit of `tokens` tokens at the slot's position. The result is valid until the next
 * call. */
rn_prefill_unit rn_prefill_begin(rn_prefill *prefill, int slot, int tokens);
/** Advances the slot's position by `tokens`. Call after the pass is complete. */
void rn_prefill_end(rn_prefill *prefill, int tokens);

#endif
