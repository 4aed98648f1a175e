/**
 * Text from a trained model: prompts chunkwise, one after the other, then all of them one token at
 * a time in the recurrent form, by one pass over the weights a token and with the same memory for
 * any length. What a prompt goes on with does not depend on the others.
 */
#ifndef RN_TRAINER_GENERATE_GENERATE_H
#define RN_TRAINER_GENERATE_GENERATE_H

#include <stdbool.h>

#include "trainer/checkpoint/checkpoint_model.h"
#include "trainer/generate/sample.h"

typedef struct rn_prompt {
  const int32_t *token; /* [count] */
  int64_t count;        /* at least one */
} rn_prompt;

/** Called with each token of a prompt's text; false ends that text. */
typedef bool rn_token_visit(void *self, int prompt, int32_t token);

/**
 * Draws up to `most` tokens behind each prompt, of 0 .. drawn - 1 alone: a model's vocabulary may
 * be larger than its tokenizer's, and the ids beyond stand for nothing. With `half` the model's
 * matrices are rounded to bf16 first, and read as such. Errors: RN_ERR_MEMORY; RN_ERR_FORMAT where
 * the model gives no finite numbers.
 */
rn_status rn_generate(rn_err *err, rn_checkpoint_model *model, bool bf16, const rn_prompt *prompt,
                      int prompts, int64_t most, int drawn, rn_sampling sampling,
                      rn_token_visit *visit, void *self);

#endif
