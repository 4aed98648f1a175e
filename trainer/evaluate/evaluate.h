/** Computes the loss of a trained model on a split, in any of the three forms of retention, on any
 * number of ranks. */
#ifndef RN_TRAINER_EVALUATE_EVALUATE_H
#define RN_TRAINER_EVALUATE_EVALUATE_H

#include "comm/world/world.h"
#include "data/batch/split.h"
#include "trainer/checkpoint/checkpoint_model.h"

enum { RN_EVALUATE_BUCKETS = 32 };

typedef struct rn_evaluation {
  double loss;          /* mean, nats per target */
  double bits_per_byte; /* NaN if no target is text or the number of text bytes is unknown */
  int64_t tokens, sequences;
  int sequence_length, buckets;
  double bucket_loss[RN_EVALUATE_BUCKETS]; /* mean loss at positions [2^i - 1, 2^(i+1) - 1) */
  double bucket_tokens[RN_EVALUATE_BUCKETS];
} rn_evaluation;

typedef struct rn_evaluation_options {
  rn_form form;
  int sequence_length;
  const Retnet__Parallel
      *parallel; /* how the work is divided: only data, sequence, scan and comm_thread are used */
} rn_evaluation_options;

/**
 * Evaluates every target of the split exactly once, in full sequences and a last one that may be
 * shorter.
 *
 * The ranks form parallel.data groups of parallel.sequence ranks. The groups take the sequences
 * round-robin, and the ranks of a group divide each sequence. If one of the keys is 0, it is
 * computed from the number of ranks; if both are 0, all ranks form one group.
 *
 * Collective: over the world.
 * Errors:     those of reading, agreed; RN_ERR_USAGE if data x sequence is not the number of ranks,
 *             for parallel.pipeline > 1, a split without a target, or a vocabulary that is larger
 *             than the model's.
 */
rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                      rn_split *split, const rn_evaluation_options *options, rn_evaluation *out);

#endif
