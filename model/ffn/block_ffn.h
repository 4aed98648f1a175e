/**
 * Computes the feed-forward block of a layer, without norm and residual connection.
 *
 *   glu:  y = fc2 (act(fc1 x) * (gate x))      the activation is on fc1; gate is the linear branch
 *   mlp:  y = fc2 act(fc1 x)
 *
 * Source: torchscale GLU (RetNet), Shazeer, GLU Variants (arXiv 2002.05202). fc1 and gate are
 * contiguous in the parameters, so that one product computes both.
 */
#ifndef RN_MODEL_FFN_BLOCK_FFN_H
#define RN_MODEL_FFN_BLOCK_FFN_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/memory/buffer_plan.h"
#include "model/ops/grad_accumulator.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"

/** The feed-forward block of one layer: sizes, options, and offsets of the weights in the flat
 * parameters. */
typedef struct rn_ffn_block {
  rn_ffn kind;
  rn_activation activation;
  int dim, ffn_dim;       /* D, F */
  int inner;              /* number of columns of the first product: 2F for glu, F for mlp */
  int ld_inner;           /* row stride of the first product */
  int ld_product;         /* row stride of the activated rows */
  int64_t fc1;            /* parameter offset of fc1 [F, D]; with glu, gate [F, D] follows it */
  int64_t fc2;            /* parameter offset of fc2 [D, F] */
  bool bf16;              /* true if rows are stored and multiplied in bf16 */
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
} rn_ffn_block;

/** Returns the block of a layer. With `bf16`, its products have bf16 operands. */
static inline rn_ffn_block rn_ffn_block_make(const rn_spec *spec, const rn_layer_params *layer,
                                             bool bf16) {
  int inner = spec->ffn == RN_FFN_GLU ? 2 * spec->ffn_dim : spec->ffn_dim;
  return (rn_ffn_block){.kind = spec->ffn,
                        .activation = spec->activation,
                        .dim = spec->dim,
                        .ffn_dim = spec->ffn_dim,
                        .inner = inner,
                        .ld_inner = rn_row_distance(inner, bf16),
                        .ld_product = rn_input_distance(spec->ffn_dim, bf16),
                        .fc1 = layer->fc1,
                        .fc2 = layer->fc2,
                        .bf16 = bf16};
}

/** The arrays that forward saves for backward, and the packed weights. */
typedef struct rn_ffn_activations {
  rn_array inner;   /* [R, inner], row stride ld_inner: the first product; after backward_input, its
                       gradient */
  rn_array product; /* [R, F], row stride ld_product: input of fc2; backward_input recomputes it */
  void *packed;     /* packed weights */
} rn_ffn_activations;

/** Declares the buffers of a block for at most `rows` rows, or returns their addresses (see
 * rn_buffer_take). */
rn_ffn_activations rn_ffn_buffers(const rn_ffn_block *block, int64_t rows,
                                  const rn_buffer_space *space);

/**
 * Computes y and the activations. If y is NULL, computes only the activations that backward_input
 * reads.
 *
 * Shapes: params, of the stage; x, y [R, D], must not overlap; x has the type of the block.
 */
void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows, rn_array x,
                    rn_ffn_activations *activations, rn_real *y);

/** Computes the gradient of the input. Shapes: dy, dx [R, D], may be the same array; dy has the
 * type of the block. */
void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           rn_array dy, rn_ffn_activations *activations, rn_real *dx);

/** Sets `out` to the operands of the matrix products that compute the weight gradients of fc1 (with
 * the gate) and of fc2. Call after backward_input with the same activations. Shapes: x [R, D], the
 * input of forward; dy [R, D], as passed to backward_input. */
void rn_ffn_weight_products(const rn_ffn_block *block, rn_array x, rn_array dy,
                            const rn_ffn_activations *activations, rn_weight_product out[2]);

#endif
