/**
 * Decoding: a step takes in one token of each of some sequences, by one pass over the weights.
 *
 *   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n     per layer and head; the same memory for any n
 *
 * Sequences have slots; a step is for any of them, each at a position of its own. A sequence's
 * logits have the same bits whatever others the step is for, and on any number of threads.
 *
 * Source: Sun et al., Retentive Network (arXiv 2307.08621), the recurrent form (eq. 6).
 */
#ifndef RN_MODEL_DECODE_DECODE_H
#define RN_MODEL_DECODE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

typedef struct rn_decoder rn_decoder;

/**
 * All of a model, for at most `slots` sequences at once, each at its start, with as many threads
 * as there are now; with `half` its products read matrices in bf16, half the bytes:
 * rn_decoder_round makes them. Errors: RN_ERR_MEMORY.
 */
rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, int slots, bool bf16,
                            rn_decoder **out);
void rn_decoder_destroy(rn_decoder **decoder);

/**
 * Rounds all matrices in params [total] to bf16, and keeps them for a decoder with `half`: to be
 * called before its first step. Whatever computes with params from then on computes with the same
 * model.
 */
void rn_decoder_round(rn_decoder *decoder, rn_real *params);

/** Bytes of states, and of weights that a step of `count` sequences reads. */
size_t rn_decoder_state_bytes(const rn_decoder *decoder);
size_t rn_decoder_weight_bytes(const rn_decoder *decoder, int count);

/** State [H, K, V] of a slot before its next token: zero at a start; may be written. */
rn_real *rn_decoder_state(rn_decoder *decoder, int slot, int layer);

/** The slot's next token is number `position` of its sequence, which is one document. */
void rn_decoder_position_of(rn_decoder *decoder, int slot, int64_t position);

/**
 * Takes in the next token of `count` different slots, and gives what follows each.
 *
 * Shapes: params, all of the model's; slot, token [count]; logits [count, N].
 */
void rn_decoder_step(rn_decoder *decoder, const rn_real *params, int count, const int *slot,
                     const int32_t *token, rn_real *logits);

#endif
