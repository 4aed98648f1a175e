/** Declares the functions that each kind of tokenizer implements, and the code that all kinds
 * share. */
#ifndef RN_DATA_TOKENIZER_TOKENIZER_CALLS_H
#define RN_DATA_TOKENIZER_TOKENIZER_CALLS_H

#include "data/tokenizer/token_table.h"
#include "data/tokenizer/tokenizer.h"

typedef struct rn_tokenizer_calls {
  /** Creates the workspace of one thread. */
  rn_status (*work_create)(rn_err *err, const void *self, void **work);
  void (*work_destroy)(void *work);
  /** Appends the ids of a text without special tokens. */
  rn_status (*encode)(rn_err *err, const void *self, void *work, const char *text, size_t count,
                      rn_tokens *tokens);
  /** Like rn_tokenizer_decode, for valid ids only. NULL: the bytes of the tokens are
   * concatenated. */
  rn_status (*decode)(rn_err *err, const void *self, const int32_t *id, size_t count,
                      rn_text *text);
  /** Like rn_tokenizer_cut. */
  size_t (*cut)(const void *self, const char *text, size_t count);
  void (*destroy)(void *self);
} rn_tokenizer_calls;

/** The parts of a tokenizer that its kind supplies. */
typedef struct rn_tokenizer_content {
  const rn_tokenizer_calls *calls;
  void *self;
  rn_token_table table;
  int32_t document; /* id of the document token; -1: there is none, so the next free id becomes the
                       document token */
  bool lossless;
} rn_tokenizer_content;

/**
 * Makes a tokenizer from the content. Ownership: takes the content, on failure too.
 */
rn_status rn_tokenizer_make(rn_err *err, const char *name, uint64_t hash,
                            rn_tokenizer_content *content, rn_tokenizer **out);

#endif
