/**
 * The feed-forward block of a layer, without its norm and residual.
 *
 *   glu:  y = fc2 (act(fc1 x) * (gate x))      the activation is on fc1; gate is the linear branch
 *   mlp:  y = fc2 act(fc1 x)
 *
 * Source: torchscale GLU (RetNet), Shazeer, GLU Variants (arXiv 2002.05202). fc1 and gate lie in
 * one block of the parameters and are one product.
 */
#ifndef RN_MODEL_FFN_BLOCK_FFN_H
#define RN_MODEL_FFN_BLOCK_FFN_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/grad_accumulator.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "proto/base/arena.h"
#include "proto/base/real.h"

/** One layer's block: sizes, choices, and offsets of its weights in the flat parameters. */
typedef struct rn_ffn_block {
  rn_ffn kind;
  rn_activation activation;
  int dim, ffn_dim;       /* D, F */
  int inner;              /* outputs of the first product: 2F for glu, F for mlp */
  int ld_inner;           /* distance of their rows */
  int ld_product;         /* distance of the activated rows */
  int64_t fc1;            /* [F, D]; with glu, gate [F, D] follows */
  int64_t fc2;            /* [D, F] */
  bool bf16;              /* rows are kept, and multiplied, in bf16 */
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
} rn_ffn_block;

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

/** What forward leaves: the inner products [R, inner], ld_inner apart, and the activated product
 * [R, F], ld_product apart. */
typedef struct rn_ffn_activations {
  rn_array inner;   /* backward_input turns it into its own gradient */
  rn_array product; /* input of fc2; backward_input makes it once more */
} rn_ffn_activations;

/**
 * Bytes of a tape in an arena, for at most `rows` rows; and the tape taken from one. Where there is
 * a lender the product lies in the lender's: many tapes may do that, since none needs it between
 * forward and backward_input. So does inner, if the lender has it: for tapes at work one by one.
 */
size_t rn_ffn_activations_bytes(const rn_ffn_block *block, int64_t rows, bool lent);
rn_ffn_activations rn_ffn_activations_take(const rn_ffn_block *block, int64_t rows,
                                           const rn_ffn_activations *workspace, rn_arena *arena);

/** Bytes of inner, and of a product. */
size_t rn_ffn_inner_bytes(const rn_ffn_block *block, int64_t rows);
size_t rn_ffn_product_bytes(const rn_ffn_block *block, int64_t rows);

/**
 * Shapes: params, the stage's; x, y [R, D], different arrays; x is of the tape's type. y NULL:
 *         nobody asks for it, and of the tape only what backward_input reads is made.
 */
void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows, rn_array x,
                    rn_ffn_activations *activations, rn_real *y);

/** Shapes: dy, dx [R, D], the same array allowed; dy is of the tape's type. */
void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           rn_array dy, rn_ffn_activations *activations, rn_real *dx);

/**
 * Weight gradients into the sink, after backward_input with the same tape.
 * Shapes: x [R, D] the forward's input, dy [R, D] as backward_input got it.
 */
void rn_ffn_backward_weight(const rn_ffn_block *block, rn_rows rows, rn_array x, rn_array dy,
                            const rn_ffn_activations *activations,
                            rn_grad_accumulator *accumulator);

#endif
