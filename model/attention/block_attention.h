/**
 * Computes the softmax attention block of a layer, without norm and residual connection:
 * grouped-query attention with rotary embedding, as in Llama.
 *
 *   q = rope(x Wq^T), k = rope(x Wk^T), v = x Wv^T,   y = attention(q, k, v) Wo^T
 *
 * Shapes: Wq, Wo [D, D]; Wk, Wv [G K, D]. If a unit (model/pass/unit.h) holds only a segment of
 * each sequence, the block receives the keys and values of earlier tokens through pass->rows, and
 * returns their gradients through it (proto/ports/row_port.h). Source: Hugging Face transformers,
 * modeling_llama.py; Su et al., RoFormer (arXiv 2104.09864); Ainslie et al., GQA (arXiv
 * 2305.13245).
 */
#ifndef RN_MODEL_ATTENTION_BLOCK_ATTENTION_H
#define RN_MODEL_ATTENTION_BLOCK_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/attention/attention.h"
#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/memory/workspace.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/pass.h"
#include "model/retention/rotary.h"
#include "model/spec/param.h"
#include "proto/base/status.h"

/** The sizes and tables of the block, shared by all attention layers of a stage. */
typedef struct rn_block_attention {
  int dim, pair;           /* D; 2 G K, the number of columns of kv */
  int ld_q, ld_pair, ld_o; /* row strides of q, kv and o */
  bool bf16;               /* true if q, k, v, o and the operands of all products are in bf16 */
  const rn_bf16 *weights;  /* the stage's weights in bf16, or NULL; not owned */
  int max_sequences, max_tokens;
  double rope_theta;
  rn_attention core;
  rn_rotary_table rotary;
} rn_block_attention;

/** The buffers of one layer's block. After backward_input, kv and q hold the gradients of k, v and
 * q. */
typedef struct rn_block_attention_activations {
  rn_array kv;  /* [R, ld_pair]: rotated keys, then values */
  rn_array q;   /* [R, ld_q], rotated */
  rn_array o;   /* [R, ld_o]: input of the output projection */
  rn_real *lse; /* [R, H] */
  /* temporary */
  rn_array d_o;            /* [R, D] */
  rn_real *d_kv, *delta;   /* [R, ld_pair], [R, H] */
  void *packed;            /* packed weights of one phase */
  rn_workspace *workspace; /* holds the temporary buffers; not owned */
} rn_block_attention_activations;

/** The maximum size of a unit: number of sequences (B), tokens per sequence (T), and keys per
 * sequence that the queries may see (0: T). */
typedef struct rn_block_attention_limits {
  int sequences, tokens, keys;
} rn_block_attention_limits;

/** Returns a block with sizes but without tables, which suffices to compute the sizes of memory. */
rn_block_attention rn_block_attention_shape(const rn_spec *spec, rn_block_attention_limits limits);
/** Returns the size in bytes of the tables of a block. */
size_t rn_block_attention_bytes(const rn_block_attention *shape);

/** Creates a block with its tables and scratch memory. Errors: RN_ERR_MEMORY. */
rn_status rn_block_attention_create(rn_err *err, const rn_spec *spec,
                                    rn_block_attention_limits limits, rn_block_attention *out);
void rn_block_attention_destroy(rn_block_attention *block);

/** Declares the buffers of a layer's block, or returns their addresses (see rn_buffer_take). */
rn_block_attention_activations rn_block_attention_buffers(const rn_block_attention *shape,
                                                          const rn_buffer_space *space);

/** The input of a block, in the block's type, and the output: x and y in forward, dy and dx in
 * backward. The arrays must not overlap. Shapes: [R, D]. */
typedef struct rn_block_attention_io {
  rn_array in;
  rn_real *out;
} rn_block_attention_io;

/**
 * Computes the output y and the activations from the input x. Without pass->rows the unit must hold
 * whole sequences.
 * Collective: over the ranks of pass->rows (one exchange of keys and values).
 * Errors:     those of pass->rows.
 */
rn_status rn_block_attention_forward(rn_err *err, rn_block_attention *block,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_attention_io rows,
                                     rn_block_attention_activations *activations);

/**
 * Computes the gradient of the input, dx, from dy. With pass->weights, also accumulates the weight
 * gradient of the output projection, and computes all deferred weight gradients in pass->queue.
 * Collective: over the ranks of pass->rows (one exchange of keys and values, and one of the sums of
 *             their gradients).
 * Errors:     those of pass->rows.
 */
rn_status rn_block_attention_backward_input(rn_err *err, rn_block_attention *block,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_attention_io grads,
                                            rn_block_attention_activations *activations);

/** The size of the rows that attention layers exchange: keys and values, and their gradients. */
typedef struct rn_attention_row_size {
  int elements; /* elements of a row of gradients */
  size_t bytes; /* bytes of a row of keys and values */
} rn_attention_row_size;

/** Returns the size of the rows of a spec's attention layers. */
rn_attention_row_size rn_block_attention_row_size(const rn_spec *spec);

/** Returns the operands of the matrix product that computes the weight gradient of the output
 * projection; see rn_block_retention_product_out. */
rn_weight_product rn_block_attention_product_out(const rn_block_attention *block,
                                                 const rn_layer_params *at, rn_array dy,
                                                 const rn_block_attention_activations *activations);

/** Returns the operands of the matrix products that compute the weight gradients of the projections
 * of k and v (out[0]) and of q (out[1]). */
void rn_block_attention_products_in(const rn_block_attention *block, const rn_layer_params *at,
                                    rn_array x, const rn_block_attention_activations *activations,
                                    rn_weight_product out[2]);

#endif
