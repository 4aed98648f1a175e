/**
 * Computes the retention of the first token of a document, with the score in double.
 *
 *   o = (q . k) v,  q . k = (Wq x) . (Wk x) / sqrt(K)
 *
 * The first token attends only to itself, so each head's output depends on a single score (the
 * rotations cancel). If the terms of this score nearly cancel, the head norm amplifies the rounding
 * error of the score by up to 1 / sqrt(eps), a factor of 1000, in all channels of the head. Later
 * rows are sums of several v, so all their scores would have to be nearly zero at the same time;
 * the error decreases with every token. Therefore only this score is computed in double, from the
 * rows before the block's norm. The cost is 2 D^2 products per document.
 */
#ifndef RN_MODEL_RETENTION_FIRST_TOKEN_H
#define RN_MODEL_RETENTION_FIRST_TOKEN_H

#include "model/base/precision_names.h"
#include "proto/base/real.h"

/** The widths D, K and V, in this order. */
typedef struct rn_first_token {
  int dim, key_width, value_width;
} rn_first_token;

/** Computes o of one head from x and v, on the calling thread. Shapes: x [D]; wq, wk [K, D], the
 * rows of the head; v, o [V], may be the same array. */
void rn_first_token_retain(rn_first_token s, const double *x, const rn_real *wq, const rn_real *wk,
                           const rn_real *v, rn_real *o);

#endif
