/**
 * The embedding computes the input rows of the first layer from token ids: table lookup, scaling,
 * optional norm, dropout.
 *
 *   x = dropout(norm(s * E[id])),  s = sqrt(D) with scale_embedding, else 1
 */
#ifndef RN_MODEL_EMBED_EMBED_H
#define RN_MODEL_EMBED_EMBED_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/spec/param.h"
#include "proto/base/real.h"

typedef struct rn_embed {
  int dim, vocab; /* D, N */
  double scale;
  double dropout;
  uint64_t seed; /* seed of dropout */
  int64_t table; /* parameter offset of embed_tokens.weight [N, D] */
  bool has_norm;
  rn_norm norm;
} rn_embed;

/** The number of channels in a slice, and the number of groups into which the vocabulary is
 * divided. A task adds up the embedding gradient of one slice for the token ids of one group, over
 * all rows in order. */
enum { RN_EMBED_SLICE = 64, RN_EMBED_GROUPS = 8 };

/** Returns the embedding of a model, with a norm if the spec has one. */
rn_embed rn_embed_make(const rn_spec *spec, const rn_param_table *table, uint64_t seed);

/**
 * Computes the rows y. Shapes: y [B, T, D]; stat [B T, 2] is saved for backward if there is an
 * embedding norm, otherwise it may be NULL. The unit's token ids must be in [0, N).
 */
void rn_embed_forward(const rn_embed *embed, const rn_pass *pass, rn_real *stat, rn_real *y);

/**
 * Accumulates the gradients of the embedding and of the embedding norm, if there is one.
 * pass->train must have the same value as in forward.
 * Shapes: dy [B, T, D], overwritten; stat as saved by forward; work [B T, D] is scratch memory,
 * needed if there is an embedding norm, otherwise it may be NULL. The result is bitwise the same
 * for any number of threads.
 */
void rn_embed_backward(const rn_embed *embed, const rn_pass *pass, const rn_real *stat,
                       rn_real *work, rn_real *dy);

#endif
