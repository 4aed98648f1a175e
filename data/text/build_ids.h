/**
 * Determines to which tokenizer the ids in a data folder belong. If all inputs are token files, no
 * tokenizer is needed: the ids are just numbers below --vocab-size. If neither --tokenizer nor
 * --vocab-size is given for llm.c files, they are the ids of GPT-2 (u16) or Llama 3 (u32), because
 * llm.c writes no other ids.
 */
#ifndef RN_DATA_TEXT_BUILD_IDS_H
#define RN_DATA_TEXT_BUILD_IDS_H

#include "data/shard/shard.h"
#include "data/text/build.h"
#include "data/tokenizer/tokenizer_file.h"

/** Zero-initialise. */
typedef struct rn_build_ids {
  Retnet__Tokenizer *file; /* NULL: the byte tokenizer, or no tokenizer */
  rn_tokenizer *tokenizer; /* NULL: no tokenizer; text cannot be read */
  rn_shard_kind kind;
  rn_token_inputs inputs; /* how token files are read */
} rn_build_ids;

/**
 * Opens the tokenizer, if there is one. `llmc_bytes` is the size of a token, in bytes, in the first
 * llm.c file among the inputs; 0: there is none.
 *
 * Ownership: rn_build_ids_close must be called even after a failure. `kind` is valid until
 *            then, because its name belongs to the tokenizer.
 * Errors:    RN_ERR_USAGE naming an option; those of opening the tokenizer.
 */
rn_status rn_build_ids_open(rn_err *err, const rn_build_options *options, int llmc_bytes,
                            rn_build_ids *ids);
void rn_build_ids_close(rn_build_ids *ids);

#endif
