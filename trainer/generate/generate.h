/**
 * Text generation. Prefill processes the prompts one after the other in the chunkwise form; then
 * the recurrent form decodes all of them together, one token per step: each step reads the weights
 * once, and memory does not grow with the length. The completion of a prompt does not depend on the
 * other prompts.
 */
#ifndef RN_TRAINER_GENERATE_GENERATE_H
#define RN_TRAINER_GENERATE_GENERATE_H

#include <stdbool.h>

#include "trainer/checkpoint/checkpoint_model.h"
#include "trainer/generate/sample.h"

typedef struct rn_prompt {
  const int32_t *token; /* [count] */
  int64_t count;        /* at least 1 */
} rn_prompt;

/** Called with each sampled token of a prompt; returning false ends its completion. */
typedef bool rn_token_visit(void *self, int prompt, int32_t token);

/**
 * Samples at most `most` tokens after each prompt, from the ids 0 .. drawn - 1 only: the vocabulary
 * of a model may be larger than that of its tokenizer, and the ids beyond have no meaning. With
 * `bf16` the model's matrices are first rounded to bf16 and then read in that type.
 *
 * Errors: RN_ERR_MEMORY; RN_ERR_FORMAT if a logit is not finite.
 */
rn_status rn_generate(rn_err *err, rn_checkpoint_model *model, bool bf16, const rn_prompt *prompt,
                      int prompts, int64_t most, int drawn, rn_sampling sampling,
                      rn_token_visit *visit, void *self);

#endif
