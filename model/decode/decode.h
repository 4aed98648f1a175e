/**
 * The decoder generates text with the recurrent form. A step processes one token of each of several
 * sequences and reads the weights once.
 *
 *   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n     per layer and head; memory independent of n
 *
 * Each sequence has a slot; a step takes any subset of the slots, each at its own position. The
 * bits of a sequence's logits do not depend on the other sequences of the step, nor on the number
 * of threads.
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
 * Creates a decoder of a whole model for at most `slots` sequences; every sequence is at its start.
 * The decoder uses rn_threads() threads. With `bf16`, products read weight matrices in bf16, which
 * halves the memory traffic; rn_decoder_cast_weights must then be called before the first step.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, int slots, bool bf16,
                            rn_decoder **out);
void rn_decoder_destroy(rn_decoder **decoder);

/**
 * Rounds all matrices in params [total] to bf16 in place, and stores a bf16 copy in the decoder.
 * For decoders created with `bf16`; call before the first step. Because params are also rounded,
 * other computations that use them afterwards use exactly the decoder's weights.
 */
void rn_decoder_cast_weights(rn_decoder *decoder, rn_real *params);

/** Returns the bytes of the states of all slots. */
size_t rn_decoder_state_bytes(const rn_decoder *decoder);
/** Returns the bytes of weights that a step of `count` sequences reads. */
size_t rn_decoder_weight_bytes(const rn_decoder *decoder, int count);

/** Returns the state [H, K, V] of a slot before its next token. It is zero initially; the caller
 * may write it. */
rn_real *rn_decoder_state(rn_decoder *decoder, int slot, int layer);

/** Sets the position of the slot's next token in its sequence; the whole sequence is one
 * document. */
void rn_decoder_position_of(rn_decoder *decoder, int slot, int64_t position);

/**
 * Processes the next token of each of `count` different slots. Computes the logits of the token
 * that follows.
 *
 * Shapes: params [total], of the whole model; slot, token [count]; logits [count, N].
 */
void rn_decoder_step(rn_decoder *decoder, const rn_real *params, int count, const int *slot,
                     const int32_t *token, rn_real *logits);

#endif
