/**
 * Repetition penalty: makes tokens less likely if the text already contains them.
 *
 *   logit <- logit / penalty   if logit > 0    once per distinct token of the last `window` tokens
 *   logit <- logit * penalty   if logit < 0
 *
 * Source: Keskar et al., CTRL (arXiv 1909.05858), in the form of Hugging Face's
 * RepetitionPenaltyLogitsProcessor. As in that implementation, the tokens of the prompt count, as
 * does the document token before it, and the penalty is applied before the temperature and the
 * filters.
 */
#ifndef RN_TRAINER_GENERATE_REPETITION_H
#define RN_TRAINER_GENERATE_REPETITION_H

#include <stdint.h>

typedef struct rn_repetition {
  double penalty; /* above 0; 1: off */
  int64_t window; /* number of last tokens that count; 0: all */
} rn_repetition;

/**
 * Applies the penalty to the logits [N] that follow the tokens [count].
 *
 * Shapes: marks [N] is workspace: all zero on entry and on return.
 */
void rn_repetition_penalize(rn_repetition repetition, const int32_t *token, int64_t count,
                            uint8_t *marks, float *logits);

#endif
