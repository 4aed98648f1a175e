/**
 * The first token of a document, retained to the last digit.
 *
 *   o = (q . k) v,  q . k = (Wq x) . (Wk x) / sqrt(K)
 *
 * It sees itself alone, so its whole row hangs on one score per head (rotations fall out of it).
 * Where that score nearly cancels, the head norm magnifies its rounding by up to 1 / sqrt(eps), a
 * thousand times, in all channels at once. Rows behind it are sums of several v, whose weights
 * would have to cancel together: what is lost there falls with every token. So this score is made
 * in double from the rows in front of the block's norm: 2 D^2 products a document.
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
