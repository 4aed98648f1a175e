/**
 * Prefill: processes a prompt by forward passes of the model's layers instead of decoder steps.
 * Provides the ports between a pass and a slot of a decoder: a pass starts from the slot's state,
 * keys and values, and replaces them by the state, keys and values after the unit.
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

/** The next unit of a slot: the position in the sequence, and the ports for the pass. */
typedef struct rn_prefill_unit {
  int64_t position;            /* position of the first token */
  const int32_t *doc_position; /* [tokens]: the whole sequence is one document */
  rn_scan_port *scan;          /* port of the retention layers */
  rn_row_port *rows;           /* port of the attention layers; NULL if there are none */
} rn_prefill_unit;

/** Begins a unit of `tokens` tokens at the slot's position. The result is valid until the next
 * call. */
rn_prefill_unit rn_prefill_begin(rn_prefill *prefill, int slot, int tokens);
/** Advances the slot's position by `tokens`. Call after the pass is complete. */
void rn_prefill_end(rn_prefill *prefill, int tokens);

#endif
