/** A tokenizer for byte-level BPE consists of a pre-tokenizer and merges. */
#ifndef RN_DATA_TOKENIZER_BPE_TOKENIZER_H
#define RN_DATA_TOKENIZER_BPE_TOKENIZER_H

#include "data/tokenizer/bpe.h"
#include "data/tokenizer/tokenizer_calls.h"

/** A tokenizer under construction: the caller fills in the tokens and the merges between
 * rn_bpe_tokenizer_create and rn_bpe_tokenizer_finish. */
typedef struct rn_bpe_tokenizer rn_bpe_tokenizer;

/** Creates the object and compiles the pattern. Errors: RN_ERR_FORMAT, RN_ERR_MEMORY. */
rn_status rn_bpe_tokenizer_create(rn_err *err, const char *pattern, rn_bpe_tokenizer **out);
void rn_bpe_tokenizer_destroy(rn_bpe_tokenizer **bpe);

/** Returns the merge table, which the caller fills in. */
rn_bpe *rn_bpe_tokenizer_merges(rn_bpe_tokenizer *bpe);
/** Returns the token table, which the caller fills in. */
rn_token_table *rn_bpe_tokenizer_table(rn_bpe_tokenizer *bpe);

/** Makes the tokenizer. Ownership: takes *bpe, on failure too. */
rn_status rn_bpe_tokenizer_finish(rn_err *err, rn_bpe_tokenizer **bpe, const char *name,
                                  uint64_t hash, int32_t document, rn_tokenizer **out);

#endif
