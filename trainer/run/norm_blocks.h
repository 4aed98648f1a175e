/**
 * Assigns an index to every block of weights of the whole model, for the gradient norm.
 *
 * A block is at most RN_BLOCK consecutive elements of one tensor; the first block of a tensor
 * begins at its first element, and shards consist of whole blocks. The sum of squares of a block is
 * one double, computed in a fixed order. A norm that adds these sums in block order therefore has
 * the same bits for every distribution of blocks over ranks.
 */
#ifndef RN_TRAINER_RUN_NORM_BLOCKS_H
#define RN_TRAINER_RUN_NORM_BLOCKS_H

#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "trainer/optimizer/shard_table.h"

/** Maps each tensor of a stage to the indices of its blocks in the whole model. */
typedef struct rn_norm_blocks {
  const rn_param_table *table; /* tensors of the stage; not owned */
  int64_t *first;              /* [table->count] model-wide index of a tensor's first block */
  int64_t total;               /* number of blocks in the model; a tied embedding counts once */
} rn_norm_blocks;

/** Computes the index of the first block of every tensor in `table`, and the number of blocks of
 * the model. Errors: RN_ERR_MEMORY. */
rn_status rn_norm_blocks_create(rn_err *err, const rn_spec *spec, const rn_param_table *table,
                                rn_norm_blocks *out);
void rn_norm_blocks_destroy(rn_norm_blocks *blocks);

/**
 * Computes sum[b], the sum of squares of block b, for the blocks of `own`. Skips tensors that are
 * copies (tied embedding). Other elements of sum are not changed.
 * Shapes: values [own->count]; sum [total].
 */
void rn_norm_blocks_squares(const rn_norm_blocks *blocks, const rn_shard_table *own,
                            const float *values, double *sum);

#endif
