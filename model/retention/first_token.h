/**
 * Retention of the first token of a document, with its score in double.
 *
 *   o = (q . k) v,  q . k = (Wq x) . (Wk x) / sqrt(K)
 *
 * The token attends to itself alone, so its whole row depends on one score per head (the rotations
 * cancel). Where that score nearly cancels, the head norm amplifies its rounding error by up to
 * 1 / sqrt(eps), a factor of 1000, in all channels at once. Later rows are sums of several v, whose
 * weights would have to cancel together; there the error falls with every token. So this score is
 * computed in double from the rows before the block's norm: 2 D^2 products per document.
 */
#ifndef RN_MODEL_RETENTION_FIRST_TOKEN_H
#define RN_MODEL_RETENTION_FIRST_TOKEN_H

#include "model/base/precision_names.h"
#include "proto/base/real.h"

/** Widths: D, H, K, V. */
typedef struct rn_first_token {
  int dim, heads, key_width, value_width;
} rn_first_token;

/** Shapes: x [D]; wq, wk [H K, D]; v, o [H, V]. */
void rn_first_token_retain(rn_first_token s, const double *x, const rn_real *wq, const rn_real *wk,
                           const rn_real *v, rn_real *o);

#endif
