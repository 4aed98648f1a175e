/** Defines the data of a decoder's step, of which each thread has a copy, and the functions that
 * the blocks share. */
#ifndef RN_MODEL_DECODE_DECODE_STEP_H
#define RN_MODEL_DECODE_DECODE_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/decode/decoder.h"
#include "model/kernel/kernels.h"
#include "proto/base/range.h"

typedef struct rn_decode_step {
  rn_decoder *d;
  const rn_kernels *kernels;
  const rn_real *params;
  int count;
  const int *slot;
  const int32_t *token;
  rn_real *logits;
  bool begins;          /* true if some row is at position 0 */
  rn_real *normed;      /* [count, D]: normed rows, this thread's copy */
  const rn_real *in;    /* [count, D]: input of the next block: `normed` or the residual stream */
  int layer, attending; /* index of the layer; number of attention layers before this layer */
  const rn_layer_params *at;
} rn_decode_step;

/** Returns the range of output columns (rows of w) that this thread computes. No two threads write
 * to the same cache line of an output row that is aligned to cache lines. */
rn_range rn_decode_own_columns(rn_weight w);

/** Computes this thread's columns of y [count, n] = x [count, k] w^T. */
void rn_decode_project(const rn_decode_step *step, rn_weight w, const rn_real *x, rn_real *y,
                       int64_t ldy);

/** Waits at the barrier before a product with w. Meanwhile prefetches this thread's rows of w. */
void rn_decode_barrier_before(const rn_decode_step *step, rn_weight w);

/** Computes this thread's columns of stream <- residual * stream + x w^T. With post-norm, first
 * copies the normed rows (step->normed) to the residual stream. */
void rn_decode_add_to_stream(const rn_decode_step *step, rn_weight w, const rn_real *x);

/** Returns the weights of the projections of k, v and q of an attention layer, [2 G K + D, D]. */
rn_weight rn_decode_attention_in(const rn_decode_step *step);

/** Computes the attention block of the current layer, and adds its output to the stream. */
void rn_decode_attention_block(const rn_decode_step *step);

#endif
