/** Loss of a trained model on a split, in any of the three forms, on any number of ranks. */
#ifndef RN_TRAINER_EVALUATE_EVALUATE_H
#define RN_TRAINER_EVALUATE_EVALUATE_H

#include "comm/world/world.h"
#include "data/batch/split.h"
#include "trainer/checkpoint/checkpoint_model.h"

enum { RN_EVALUATE_BUCKETS = 32 };

typedef struct rn_evaluation {
  double loss;          /* nats per target */
  double bits_per_byte; /* NaN where bytes are unknown */
  int64_t tokens, sequences;
  int sequence_length, buckets;
  double bucket_loss[RN_EVALUATE_BUCKETS]; /* positions [2^i - 1, 2^(i+1) - 1) */
  double bucket_tokens[RN_EVALUATE_BUCKETS];
} rn_evaluation;

/**
 * Every target of the split counts once: whole sequences, and the shorter last one.
 *
 * `data` groups of ranks take sequences in turn (0: one group); the ranks of a group share each.
 * Collective: over the world.
 * Errors:     those of reading, agreed; RN_ERR_USAGE for groups that do not divide the ranks.
 */
rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                      rn_split *split, rn_form form, int sequence_length,
                      const Retnet__Parallel *parallel, rn_evaluation *out);

#endif
