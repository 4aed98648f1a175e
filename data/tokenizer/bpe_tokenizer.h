/** A tokenizer of byte-level BPE: a pre-tokenizer and the merges. */
#ifndef RN_DATA_TOKENIZER_BPE_TOKENIZER_H
#define RN_DATA_TOKENIZER_BPE_TOKENIZER_H

#include "data/tokenizer/bpe.h"
#include "data/tokenizer/tokenizer_calls.h"

/** The tokens and their merges are filled in between the two calls below. */
typedef struct rn_bpe_tokenizer rn_bpe_tokenizer;

/** Creates the object with the compiled pattern. Errors: RN_ERR_FORMAT, RN_ERR_MEMORY. */
rn_status rn_bpe_tokenizer_create(rn_err *err, const char *pattern, rn_bpe_tokenizer **out);
void rn_bpe_tokenizer_destroy(rn_bpe_tokenizer **bpe);

/** The merges, to be filled in. */
rn_bpe *rn_bpe_tokenizer_merges(rn_bpe_tokenizer *bpe);
/** The tokens, to be filled in. */
rn_token_table *rn_bpe_tokenizer_table(rn_bpe_tokenizer *bpe);

/** Makes the tokenizer. Ownership: takes *bpe, also on failure. */
rn_status rn_bpe_tokenizer_finish(rn_err *err, rn_bpe_tokenizer **bpe, const char *name,
                                  uint64_t hash, int32_t document, rn_tokenizer **out);

#endif
