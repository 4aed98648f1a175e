/** Computes the loss of a trained model on a split, in any of the three forms of retention, on any
 * number of ranks. */
#ifndef RN_TRAINER_EVALUATE_EVALUATE_H
#define RN_TRAINER_EVALUATE_EVALUATE_H

#include "trainer/evaluate/token_file.h"
#include "trainer/evaluate/windows.h"

enum { RN_EVALUATE_BUCKETS = 32 };

typedef struct rn_evaluation {
  double loss;          /* mean, nats per target */
  double bits_per_byte; /* NaN if no target is text or the number of text bytes is unknown */
  int64_t tokens, sequences;
  int sequence_length, buckets;
  double bucket_loss[RN_EVALUATE_BUCKETS]; /* mean loss at positions [2^i - 1, 2^(i+1) - 1) */
  double bucket_tokens[RN_EVALUATE_BUCKETS];
} rn_evaluation;

/** The loss of one document. */
typedef struct rn_document_loss {
  int64_t tokens; /* number of targets */
  double loss;    /* mean, nats per target */
} rn_document_loss;

typedef struct rn_evaluation_options {
  rn_form form;
  int sequence_length;
  const Retnet__Parallel *parallel; /* how the work is divided; see rn_scoring */
  int stride;                       /* windows begin every `stride` tokens; 0: sequence_length */
  bool by_document; /* evaluate each document as a separate text; false: the split is one text */
  rn_token_file *tokens;        /* receives the log-likelihoods on rank 0; NULL: none */
  int set;                      /* index of the data folder, written as "set" into `tokens` */
  rn_document_loss **documents; /* with by_document, output: losses on rank 0, which the caller
                                   frees; NULL: not wanted */
  int64_t *document_count;      /* output */
} rn_evaluation_options;

/**
 * Evaluates every target of the split exactly once, in windows (windows.h).
 *
 * Collective: over the world.
 * Errors:     those of reading and of rn_score_windows, agreed; RN_ERR_USAGE for a split without
 *             targets, or one whose vocabulary is larger than the model's.
 */
rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                      rn_split *split, const rn_evaluation_options *options, rn_evaluation *out);

#endif
