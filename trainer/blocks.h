/**
 * Weights by blocks: the grain in which ranks share them and in which norms are summed.
 *
 * A block is at most RN_BLOCK elements of one tensor, counted from its start; shares of the
 * optimizer are whole blocks. A block's sum of squares is one double in fixed order, so a norm that
 * is folded in block order has the same bits however blocks are shared.
 */
#ifndef RN_TRAINER_BLOCKS_H
#define RN_TRAINER_BLOCKS_H

#include "model/param.h"
#include "model/spec.h"
#include "trainer/ownership.h"

/** A stage's tensors among the blocks of the whole model. */
typedef struct rn_blocks {
  const rn_param_table *table; /* of the stage, not owned */
  int64_t *first;              /* [table->count] number of a tensor's first block in the model */
  int64_t total;               /* blocks of the model, a tied embedding's once */
} rn_blocks;

/** Errors: RN_ERR_MEMORY. */
rn_status rn_blocks_create(rn_err *err, const rn_spec *spec, const rn_param_table *table,
                           rn_blocks *out);
void rn_blocks_destroy(rn_blocks *blocks);

/**
 * sum[b] = sum of squares of block b, for the blocks of `own` that are no copies; others stay.
 * Shapes: values [count of own]; sum [total].
 */
void rn_blocks_squares(const rn_blocks *blocks, const rn_ownership *own, const float *values,
                       double *sum);

#endif
