/** Saves and loads weights and moments; each rank handles those that it updates. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_SHARDS_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_SHARDS_H

#include "data/checkpoint/ckpt.h"
#include "trainer/run/optimizer.h"
#include "trainer/run/stage_weights.h"

/** Returns the maximum number of slices that rn_shards_slices fills. */
int rn_shards_max_slices(const rn_weights *weights);

/**
 * Describes the weights and moments of this rank's shards in place, tensor by tensor; returns the
 * number of slices.
 *
 * Shapes:    slices [rn_shards_max_slices].
 * Ownership: the slices point into weights and optimizer.
 */
int rn_shards_slices(const rn_weights *weights, const rn_optimizer *optimizer,
                     rn_ckpt_slice *slices);

/**
 * Reads this rank's shards of the weights; the shards of other ranks must be fetched afterwards.
 * Also reads the moments unless `optimizer` is NULL.
 *
 * Errors: those of rn_ckpt_read; RN_ERR_USAGE naming a tensor with a different size.
 */
rn_status rn_shards_load(rn_err *err, rn_ckpt *ckpt, rn_weights *weights, rn_optimizer *optimizer);

#endif
