/**
 * Weights by blocks: the grain in which ranks share them and in which norms are summed.
 *
 * A block is at most RN_BLOCK elements of one tensor, counted from its start; shares of the
 * optimizer are whole blocks. A block's sum of squares is one double in fixed order, so a norm that
 * is folded in block order has the same bits however blocks are shared.
 */
#ifndef RN_TRAINER_RUN_REDUCTION_BLOCKS_H
#define RN_TRAINER_RUN_REDUCTION_BLOCKS_H

#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "trainer/parallel/shard_table.h"

/** A stage's tensors among the blocks of the whole model. */
typedef struct rn_reduction_blocks {
  const rn_param_table *table; /* of the stage, not owned */
  int64_t *first;              /* [table->count] number of a tensor's first block in the model */
  int64_t total;               /* blocks of the model, a tied embedding's once */
} rn_reduction_blocks;

/** Errors: RN_ERR_MEMORY. */
rn_status rn_reduction_blocks_create(rn_err *err, const rn_spec *spec, const rn_param_table *table,
                                     rn_reduction_blocks *out);
void rn_reduction_blocks_destroy(rn_reduction_blocks *blocks);

/**
 * sum[b] = sum of squares of block b, for the blocks of `own` that are no copies; others stay.
 * Shapes: values [count of own]; sum [total].
 */
void rn_reduction_blocks_squares(const rn_reduction_blocks *blocks, const rn_shard_table *own,
                                 const float *values, double *sum);

#endif
