/**
 * Text from a trained model: the prompt chunkwise, then one token at a time in the recurrent form,
 * with the same memory for any length.
 */
#ifndef RN_TRAINER_GENERATE_H
#define RN_TRAINER_GENERATE_H

#include "trainer/loaded.h"

typedef struct rn_sampling {
  double temperature; /* 0: the likeliest token */
  int64_t top_k;      /* 0: all */
  double top_p;       /* 1: all */
  uint64_t seed;
} rn_sampling;

/** Called with each token; false ends the generation. */
typedef bool rn_token_visit(void *self, int32_t token);

/** Feeds `count` tokens of a prompt, then draws up to `most` tokens. Errors: RN_ERR_MEMORY. */
rn_status rn_generate(rn_err *err, const rn_loaded *model, const int32_t *prompt, int64_t count,
                      int64_t most, rn_sampling sampling, rn_token_visit *visit, void *self);

/** One token drawn from logits [n]; `order` [n] is work space. `index` is the draw's number. */
int32_t rn_sample(rn_sampling sampling, int n, const float *logits, int32_t *order, uint64_t index);

#endif
