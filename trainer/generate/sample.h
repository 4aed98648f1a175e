/**
 * Draws one token from the logits of a model.
 *
 * The filters work in the order of Hugging Face's generate(), each on the tokens that the previous
 * filter kept:
 *
 *   temperature   p_i = exp(logit_i / temperature) / sum_j exp(logit_j / temperature)
 *   top_k         keeps the K most likely tokens
 *   top_p         keeps the most likely tokens until they hold the fraction P of the probability
 *                 of all tokens that top_k kept
 *   min_p         keeps the tokens whose probability is at least min_p times the largest
 *
 * The most likely token is always kept. The token is drawn from the kept ones, in proportion to
 * their probabilities. Of equally likely tokens, the one with the lower id comes first.
 */
#ifndef RN_TRAINER_GENERATE_SAMPLE_H
#define RN_TRAINER_GENERATE_SAMPLE_H

#include <stdint.h>

typedef struct rn_sampling {
  double temperature; /* 0: the most likely token */
  int64_t top_k;      /* 0: all */
  double top_p;       /* 1: all */
  double min_p;       /* 0: all */
} rn_sampling;

/**
 * Returns the token at which the cumulative probability, from the most likely token on, exceeds
 * `quantile`, a number in [0, 1).
 *
 * Shapes: logits [n], -inf for a token that must not be drawn; order [n] is workspace.
 */
int32_t rn_sample(rn_sampling sampling, int n, const float *logits, int32_t *order,
                  double quantile);

/** Returns a pseudo-random number in [0, 1) that depends only on `seed` and `index`. It is the
 * `quantile` for rn_sample when the text already has `index` drawn tokens. */
double rn_sample_quantile(uint64_t seed, uint64_t index);

#endif
