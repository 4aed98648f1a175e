/**
 * Opens the data of a run: the train splits of data.dir, mixed by weight if it lists several, and
 * the validation sets. Without data.dir there are none.
 */
#ifndef RN_TRAINER_RUN_DATASETS_H
#define RN_TRAINER_RUN_DATASETS_H

#include "comm/world/world.h"
#include "data/batch/mix.h"
#include "data/batch/split.h"
#include "proto/schema/config.pb-c.h"

enum { RN_MAX_VAL_SETS = 64, RN_VAL_NAME_BYTES = 64 };

/** One item of data.dir. */
typedef struct rn_train_source {
  char *dir;
  rn_split split;
} rn_train_source;

typedef struct rn_val_set {
  char name[RN_VAL_NAME_BYTES]; /* "": this is the only set and has no name */
  rn_split split;
} rn_val_set;

typedef struct rn_datasets {
  rn_train_source *train; /* [sources] */
  int sources;            /* number of train splits; 0: no data.dir */
  rn_mix mix;             /* selects the source of each sample */
  rn_val_set *val;        /* [val_sets] */
  int val_sets;
  uint64_t content; /* hash of the contents and weights of the sources */
  int64_t tokens;   /* number of tokens of all sources */
} rn_datasets;

/**
 * Opens the splits. The validation sets are those of data.val, else the val splits of data.dir: if
 * that is a list, each set is named by the last part of its path or, if that part is not a valid
 * name or not unique, by its position in the list (from 1). rn_datasets_close must be called even
 * after a failure.
 *
 * Errors: those of rn_split_open; RN_ERR_USAGE if a train split is shorter than a sequence, for a
 *         mixture with data.carry_state, and for invalid or repeated names of validation sets;
 *         RN_ERR_FORMAT if the splits were built with different tokenizers or vocabularies.
 */
rn_status rn_datasets_open(rn_err *err, const Retnet__Data *config, rn_datasets *out);
void rn_datasets_close(rn_datasets *datasets);

/** Returns the vocabulary size of the train splits, or 0 if there are none. */
int rn_datasets_vocabulary(const rn_datasets *datasets);

/**
 * Checks that the data are the same on all ranks, since each rank derives its work from them.
 * Collective: over the world. Errors: RN_ERR_MISMATCH, agreed.
 */
rn_status rn_datasets_check_same(rn_err *err, const rn_datasets *datasets, rn_world *world);

#endif
