/** Defines the block size: shards consist of whole blocks, and norms are summed block by block. */
#ifndef RN_TRAINER_OPTIMIZER_BLOCK_H
#define RN_TRAINER_OPTIMIZER_BLOCK_H

/** Maximum number of elements of a block; a block never spans two tensors. Norms are summed block
 * by block, so that the order of a sum does not depend on the number of ranks or threads. */
enum { RN_BLOCK = 16384 };

#endif
