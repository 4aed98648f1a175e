/**
 * The decoder generates text; retention layers use the recurrent form. A step processes one token
 * of each of several sequences and reads the weights once.
 *
 *   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n             retention layers, per head
 *   o_n = sum over m <= n of softmax(q_n . k_m / sqrt(K)) v_m  attention layers, per head
 *
 * In retention layers, memory does not depend on n; attention layers store keys and values
 * (attention_cache.h).
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
#include "model/decode/decoder_shape.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

typedef struct rn_decoder rn_decoder;

/**
 * Creates a decoder of a whole model; every sequence is at its start. The decoder uses rn_threads()
 * threads. With shape.bf16, rn_decoder_cast_weights must be called before the first step.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, rn_decoder_shape shape,
                            rn_decoder **out);
void rn_decoder_destroy(rn_decoder **decoder);

/**
 * Rounds all matrices in params [total] to bf16 in place, and stores a bf16 copy in the decoder.
 * For decoders created with `bf16`; call before the first step. Because params are also rounded,
 * other computations that use them afterwards use exactly the decoder's weights.
 */
void rn_decoder_cast_weights(rn_decoder *decoder, rn_real *params);

/** Returns the size in bytes of the states, keys and values of all slots. */
double rn_decoder_state_bytes(const rn_decoder *decoder);
/** Returns what rn_decoder_state_bytes would return, without creating a decoder; may exceed
 * SIZE_MAX. */
double rn_decoder_measure_state(const rn_spec *spec, rn_decoder_shape shape);
/** Returns the size in bytes of the weights that a step of `count` sequences reads. */
size_t rn_decoder_weight_bytes(const rn_decoder *decoder, int count);

/** Returns the state [H, K, V] of a slot before its next token, in a retention layer. It is zero
 * initially; the caller may write it. */
rn_real *rn_decoder_state(rn_decoder *decoder, int slot, int layer);

/** Sets the position in the sequence of the next token of a slot; the whole sequence is one
 * document. In attention layers, this token sees those earlier tokens whose keys and values the
 * slot stores. */
void rn_decoder_position_of(rn_decoder *decoder, int slot, int64_t position);

/** Returns the number of bytes that rn_decoder_save writes for a slot. With attention layers, the
 * number grows with the slot's position until the window is full. */
size_t rn_decoder_saved_bytes(const rn_decoder *decoder, int slot);
/** Writes the position, states, keys and values of a slot. The bytes do not depend on the decoder's
 * number of slots or on its max_tokens. */
void rn_decoder_save(rn_decoder *decoder, int slot, void *to);
/** Returns the position of the next token, read from the bytes that rn_decoder_save wrote; a
 * negative number if the bytes contain no valid position. */
int64_t rn_decoder_saved_position(const void *saved, size_t bytes);
/**
 * Sets a slot to a saved state of the same model. Errors: RN_ERR_FORMAT if the bytes are not a
 * saved state; RN_ERR_USAGE if the state holds keys and values of more tokens than the decoder has
 * memory for.
 */
rn_status rn_decoder_load(rn_err *err, rn_decoder *decoder, int slot, const void *from,
                          size_t bytes);

/**
 * Processes the next token of each of `count` different slots. Computes the logits of the token
 * that follows.
 *
 * Shapes: params [total], of the whole model; slot, token [count]; logits [count, N].
 */
void rn_decoder_step(rn_decoder *decoder, const rn_real *params, int count, const int *slot,
                     const int32_t *token, rn_real *logits);

#endif
