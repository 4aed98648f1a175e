/**
 * Opens the splits of data.dir: `train`, and `val` if it exists. Without data.dir there are no
 * splits.
 */
#ifndef RN_TRAINER_RUN_DATASETS_H
#define RN_TRAINER_RUN_DATASETS_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "data/batch/split.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_datasets {
  bool has_train, has_val;
  rn_split train, val;
} rn_datasets;

/**
 * Opens the splits. rn_datasets_close must be called even after a failure; it closes the splits
 * that are open.
 *
 * Errors: those of rn_split_open; RN_ERR_USAGE if the train split is shorter than a sequence;
 *         RN_ERR_FORMAT if the splits were built with different tokenizers or vocabularies.
 */
rn_status rn_datasets_open(rn_err *err, const Retnet__Data *config, rn_datasets *out);
void rn_datasets_close(rn_datasets *datasets);

/** Returns the vocabulary size of the train split, or 0 if there is no train split. */
int rn_datasets_vocabulary(const rn_datasets *datasets);

/**
 * Checks that the splits are the same on all ranks, since each rank derives its work from them.
 * Collective: over the world. Errors: RN_ERR_MISMATCH, agreed.
 */
rn_status rn_datasets_check_same(rn_err *err, const rn_datasets *datasets, rn_world *world);

#endif
