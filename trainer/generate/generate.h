/**
 * Generates text. Prefill processes the prompts one after the other in the chunkwise form; then
 * the recurrent form decodes all of them together, one token per step: each step reads the weights
 * once. Memory does not grow with the length, except in attention layers without a window, for
 * which it is reserved for the longest prompt and completion. The completion of a prompt does not
 * depend on the other prompts.
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

typedef struct rn_generation_options {
  bool bf16;          /* round the model's matrices to bf16, and read them as bf16 */
  int64_t max_tokens; /* length limit of each completion */
  int vocabulary; /* number of token ids of the tokenizer. The model may have more ids, which have
                     no meaning and are never sampled */
  const int32_t *never; /* [never_count] ids below `vocabulary` that are never sampled */
  int never_count;
  rn_sampling sampling;
} rn_generation_options;

/** Receives each sampled token of each prompt. A completion ends if the function returns false. */
typedef struct rn_token_visitor {
  bool (*visit)(void *self, int prompt, int32_t token);
  void *self;
} rn_token_visitor;

/**
 * Generates a completion of each of `prompts` prompts.
 *
 * Errors: RN_ERR_MEMORY; RN_ERR_FORMAT if a logit is not finite.
 */
rn_status rn_generate(rn_err *err, rn_checkpoint_model *model, const rn_generation_options *options,
                      const rn_prompt *prompt, int prompts, rn_token_visitor visitor);

#endif
