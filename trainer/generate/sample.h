/** One token drawn from the logits that a model gives. */
#ifndef RN_TRAINER_GENERATE_SAMPLE_H
#define RN_TRAINER_GENERATE_SAMPLE_H

#include <stdint.h>

typedef struct rn_sampling {
  double temperature; /* 0: the likeliest token, of equals the first */
  int64_t top_k;      /* of the K likeliest; 0: of all */
  double top_p;       /* of the likeliest that make P of their probability; 1: of all */
  uint64_t seed;
} rn_sampling;

/** Draw number `index` of the seed, from logits [n]; `order` [n] is work space. */
int32_t rn_sample(rn_sampling sampling, int n, const float *logits, int32_t *order, uint64_t index);

#endif
