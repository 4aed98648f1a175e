/**
 * Generates text. Prefill reads the given tokens of the sequences, one sequence after the other, in
 * the chunkwise form. Then the recurrent form decodes all sequences together, one token per step,
 * so each step reads the weights once. The state does not grow with the length, except in attention
 * layers without a window. A completion does not depend on the other sequences.
 *
 * A sequence keeps its state from run to run: the caller may add more tokens after a completion.
 */
#ifndef RN_TRAINER_GENERATE_GENERATOR_H
#define RN_TRAINER_GENERATE_GENERATOR_H

#include "trainer/checkpoint/checkpoint_model.h"
#include "trainer/generate/repetition.h"
#include "trainer/generate/sample.h"
#include "trainer/generate/sequence.h"

typedef struct rn_generation_options {
  bool bf16;          /* round the model's matrices to bf16, and read them as bf16 */
  int64_t max_tokens; /* length limit of each completion */
  int vocabulary; /* number of token ids of the tokenizer. The model may have more ids, which have
                     no meaning and are never drawn */
  const int32_t *never; /* [never_count] ids below `vocabulary` that are never drawn */
  int never_count;
  rn_sampling sampling;
  rn_repetition repetition;
} rn_generation_options;

typedef struct rn_generator rn_generator;

/**
 * Creates a generator for a number of sequences, which are empty.
 *
 * Ownership: `model`, and the arrays to which `options` points, must outlive the generator.
 * Errors:    RN_ERR_MEMORY.
 */
rn_status rn_generator_create(rn_err *err, const rn_checkpoint_model *model,
                              const rn_generation_options *options, int sequences,
                              rn_generator **out);
void rn_generator_destroy(rn_generator **generator);

/** Returns a sequence; the caller adds tokens to it and sets its seed. */
rn_sequence *rn_generator_sequence(rn_generator *generator, int sequence);

/**
 * Ensures that sequences of `tokens` tokens and their completions (max_tokens) fit into memory, and
 * keeps the states. Only attention layers need this. rn_generator_run calls this function; an
 * earlier call with the number of tokens of that run avoids copying the states to a larger decoder.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_generator_reserve(rn_err *err, rn_generator *generator, int64_t tokens);

/**
 * Copies the state of a sequence after its first `read` tokens; `read` may be 0.
 *
 * Ownership: the caller frees *state.
 * Errors:    RN_ERR_MEMORY.
 */
rn_status rn_generator_save(rn_err *err, rn_generator *generator, int sequence, void **state,
                            size_t *bytes);

/** Sets the state of a sequence; the caller also sets `read`. Must be called after
 * rn_generator_reserve with the number of tokens of the sequence. Errors: as rn_decoder_load. */
rn_status rn_generator_load(rn_err *err, rn_generator *generator, int sequence, const void *state,
                            size_t bytes);

/** How generation of a sequence proceeds after a drawn token. */
typedef enum {
  RN_GENERATE_NEXT, /* another token */
  RN_GENERATE_STOP, /* the completion ends with the token */
  RN_GENERATE_END   /* the token is the document token, which ends the completion */
} rn_generate_next;

/** Receives each drawn token of each sequence and may set *next, which is RN_GENERATE_NEXT on
 * entry. */
typedef struct rn_token_visitor {
  rn_status (*visit)(void *self, rn_err *err, int sequence, int32_t token, rn_generate_next *next);
  bool (*interrupted)(void *self); /* true ends the reading of tokens, and the run; NULL: never */
  void *self;
} rn_token_visitor;

/**
 * Reads the unread tokens of every sequence and generates completions until all have ended. Each
 * sequence must have at least one unread token. Skips sequences that have `ended` and have received
 * no tokens since then. With max_tokens 0, no token is drawn, so the last tokens of a sequence (at
 * most one segment of prefill) may remain unread.
 *
 * Errors: those of the visitor; RN_ERR_MEMORY; RN_ERR_FORMAT if a logit is not finite.
 */
rn_status rn_generator_run(rn_err *err, rn_generator *generator, rn_token_visitor visitor);

#endif
