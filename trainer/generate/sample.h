/** Samples one token from the logits of a model. */
#ifndef RN_TRAINER_GENERATE_SAMPLE_H
#define RN_TRAINER_GENERATE_SAMPLE_H

#include <stdint.h>

typedef struct rn_sampling {
  double temperature; /* 0: the most likely token; of equally likely ones, the first */
  int64_t top_k;      /* sample from the K most likely tokens; 0: from all */
  double top_p;       /* sample from the smallest set with probability >= P; 1: from all */
  uint64_t seed;
} rn_sampling;

/** Samples a token from logits [n] with random number `index` of the seed. `order` [n] is
 * workspace. */
int32_t rn_sample(rn_sampling sampling, int n, const float *logits, int32_t *order, uint64_t index);

#endif
