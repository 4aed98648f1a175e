/**
 * Computes dropout without a stored mask: divides the elements that are kept by 1 - p, and sets all
 * other elements to 0.
 *
 * Whether an element is kept is a function of (seed, step, layer, site, sequence index, position,
 * channel). The result therefore does not depend on how the batch is partitioned, and backward
 * applies the same function to the gradient.
 */
#ifndef RN_MODEL_OPS_DROPOUT_H
#define RN_MODEL_OPS_DROPOUT_H

#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/pass/unit.h"
#include "proto/base/range.h"
#include "proto/base/real.h"

typedef enum { RN_DROPOUT_EMBED, RN_DROPOUT_RETENTION, RN_DROPOUT_FFN } rn_dropout_site;

/** The dropout at one site of the model. */
typedef struct rn_dropout {
  double p; /* probability that an element is dropped */
  uint64_t seed;
  int layer; /* global layer index; 0 for the embedding */
  rn_dropout_site site;
} rn_dropout;

/**
 * Applies dropout to the output of a site or to its gradient; does nothing if p is 0. Works in
 * place. Shapes: rows [B, T, width] of the unit.
 */
void rn_dropout_rows(rn_dropout dropout, const rn_unit *unit, int width, rn_real *rows);

/** Does the same as rn_dropout_rows, but only for the given rows and on the calling thread; `x` is
 * the array of all rows. */
void rn_dropout_range(rn_dropout dropout, const rn_unit *unit, int width, rn_range rows,
                      rn_real *x);

#endif
