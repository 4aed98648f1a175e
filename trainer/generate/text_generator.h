/**
 * Generates text from text: encodes prompts, and collects or prints the completions.
 */
#ifndef RN_TRAINER_GENERATE_TEXT_GENERATOR_H
#define RN_TRAINER_GENERATE_TEXT_GENERATOR_H

#include "data/tokenizer/tokenizer.h"
#include "trainer/generate/completions.h"
#include "trainer/generate/generator.h"
#include "trainer/generate/saved_state.h"

typedef struct rn_text_options {
  rn_generation_options generation; /* vocabulary and `never` come from the tokenizer */
  rn_stop_strings stops;
  const char *special_tokens; /* recognised in prompts (rn_encoder_allow); NULL: none */
  bool ignore_end;            /* the document token does not end a completion */
  bool stream;                /* print texts while they are generated (rn_completions_stream) */
  bool keeps_states;          /* states are saved or loaded */
} rn_text_options;

/** Zero-initialise; free with rn_text_generator_close. */
typedef struct rn_text_generator {
  rn_text_options options;
  int32_t begin; /* token with which every text begins */
  rn_tokenizer *tokenizer;
  rn_encoder *encoder;
  rn_generator *generator;
  rn_state_owner owner;        /* identifies saved states; set if `keeps_states` */
  int32_t *gap;                /* ids below the vocabulary size that no token has */
  rn_completions *completions; /* completions of the current run; not owned */
  rn_completions_printed printed;
  int texts;
  bool output_lost;
  bool (*interrupted)(void); /* true if the run shall end as soon as possible; NULL: never */
} rn_text_generator;

/**
 * Opens the tokenizer that is stored in the checkpoint `path`, and a generator for a number of
 * texts.
 *
 * Ownership: `model`, and the arrays to which `options` points, must outlive the generator.
 * Errors:    RN_ERR_USAGE if the tokenizer or a special token is missing, or the model has fewer
 *            ids than the tokenizer; RN_ERR_MEMORY.
 */
rn_status rn_text_generator_open(rn_err *err, const char *path, const rn_checkpoint_model *model,
                                 const rn_text_options *options, int texts, rn_text_generator *out);
void rn_text_generator_close(rn_text_generator *generator);

/** Makes all texts, which must be empty, continue the text of a state file. Errors: those of
 * rn_saved_state_load. */
rn_status rn_text_generator_load(rn_err *err, rn_text_generator *generator, const char *path);

/** Saves the state of text 0. Errors: those of rn_saved_state_write. */
rn_status rn_text_generator_save(rn_err *err, rn_text_generator *generator, const char *path);

/** Adds bytes to a text. A new text begins with the document token. Errors: those of
 * rn_encoder_encode. */
rn_status rn_text_generator_give(rn_err *err, rn_text_generator *generator, int text,
                                 const rn_text *bytes);

/**
 * Continues all texts; the completion of text i is completions->text[i].
 * Errors: those of rn_generator_run.
 */
rn_status rn_text_generator_run(rn_err *err, rn_text_generator *generator,
                                rn_completions *completions);

#endif
