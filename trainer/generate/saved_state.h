/** Saves states of sequences to files (data/state/state_file.h) and loads them, so that a long
 * prompt is processed only once. */
#ifndef RN_TRAINER_GENERATE_SAVED_STATE_H
#define RN_TRAINER_GENERATE_SAVED_STATE_H

#include "trainer/generate/generator.h"

/** Identifies the model, tokenizer and precision of a state. A state can be loaded only if all
 * three are the same as when it was saved. */
typedef struct rn_state_owner {
  const rn_checkpoint_model *model;
  uint64_t model_hash; /* rn_checkpoint_model_hash */
  uint64_t tokenizer_hash;
  bool bf16;
} rn_state_owner;

/** Writes the tokens and the state of a sequence, which must not be empty. Errors: those of
 * rn_state_writer_commit. */
rn_status rn_saved_state_write(rn_err *err, rn_generator *generator, int sequence,
                               rn_state_owner owner, const char *path);

/**
 * Sets the tokens and the state of sequences 0 .. sequences - 1, which must be empty, to those of a
 * file. With equal options, each sequence has the same completion as the saved sequence would have.
 *
 * Errors: those of rn_state_reader_open; those of rn_decoder_load, with the name of the file;
 *         RN_ERR_FORMAT if the token position of the state differs from the one that the file
 *         records; RN_ERR_USAGE if the file belongs to another model, tokenizer or precision.
 */
rn_status rn_saved_state_load(rn_err *err, rn_generator *generator, int sequences,
                              rn_state_owner owner, const char *path);

#endif
