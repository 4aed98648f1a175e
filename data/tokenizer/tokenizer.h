/**
 * Tokenizers convert text to token ids and back.
 *
 *   bytes           one id per byte value; document token 256
 *   tiktoken:FILE   byte-level BPE from a rank file (tiktoken.h)
 *   hf:FILE         byte-level BPE from a tokenizer.json (hf_json.h)
 *   spm:FILE        a sentencepiece model, with the sentencepiece library (spm.h)
 *
 * A text is any sequence of bytes. Special tokens in a text are not recognised unless
 * rn_encoder_allow allows them. Decoding the ids of a text returns the text, except with
 * sentencepiece models, which may normalise it (`lossless`).
 */
#ifndef RN_DATA_TOKENIZER_TOKENIZER_H
#define RN_DATA_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Token ids, and for each id the number of text bytes that it encodes. Zero-initialise. */
typedef struct rn_tokens {
  int32_t *id;          /* [count] */
  uint32_t *text_bytes; /* [count] */
  size_t count, capacity;
} rn_tokens;

/** Appends a token. Errors: RN_ERR_MEMORY. */
rn_status rn_tokens_add(rn_err *err, rn_tokens *tokens, int32_t id, uint32_t text_bytes);
/** Frees the arrays and zeroes the object. */
void rn_tokens_free(rn_tokens *tokens);

/** A growing array of bytes. Zero-initialise. */
typedef struct rn_text {
  char *bytes; /* [count] */
  size_t count, capacity;
} rn_text;

/** Appends bytes. Errors: RN_ERR_MEMORY. */
rn_status rn_text_add(rn_err *err, rn_text *text, const void *bytes, size_t count);
/** Frees the bytes and zeroes the object. */
void rn_text_free(rn_text *text);

typedef struct rn_special_token {
  const char *text;
  int32_t id;
} rn_special_token;

/** A tokenizer; read-only, shared by threads. */
typedef struct rn_tokenizer {
  const struct rn_tokenizer_calls *calls;
  void *self;
  char *name;                      /* for example "tiktoken:cl100k_base" */
  uint64_t hash;                   /* hash of the content; independent of file names */
  int vocabulary;                  /* largest id + 1, including the document token */
  int32_t document;                /* id of the token that begins every document */
  bool lossless;                   /* decoding the ids of any text returns the text */
  const rn_special_token *special; /* [specials] sorted by id */
  int specials;
} rn_tokenizer;

/** Creates the byte tokenizer. */
rn_status rn_tokenizer_bytes(rn_err *err, rn_tokenizer **out);
void rn_tokenizer_destroy(rn_tokenizer **tokenizer);

/**
 * Returns the bytes that a token represents if it is not at the start of a text. For a special
 * token, returns the name; *count is 0 for the control tokens of sentencepiece.
 *
 * Ownership: the bytes belong to the tokenizer.
 * Errors:    RN_ERR_FORMAT naming the id if no token has it.
 */
rn_status rn_tokenizer_token(rn_err *err, const rn_tokenizer *tokenizer, int32_t id,
                             const void **bytes, size_t *count);

/** True if a token has this id. */
bool rn_tokenizer_has(const rn_tokenizer *tokenizer, int32_t id);

/**
 * Appends the text of the ids, as the reference implementation of the tokenizer decodes them.
 * Errors: RN_ERR_FORMAT naming an id that no token has; RN_ERR_MEMORY.
 */
rn_status rn_tokenizer_decode(rn_err *err, const rn_tokenizer *tokenizer, const int32_t *id,
                              size_t count, rn_text *text);

/**
 * Returns the last position in (0, count) where the text may be cut, or 0 if none is found. A text
 * may be cut where the ids of the two pieces, concatenated, equal the ids of the whole text.
 */
size_t rn_tokenizer_cut(const rn_tokenizer *tokenizer, const char *text, size_t count);

/** An encoder has the workspace to encode texts with one thread. */
typedef struct rn_encoder rn_encoder;

/** Creates an encoder. Ownership: the tokenizer must outlive the encoder. */
rn_status rn_encoder_create(rn_err *err, const rn_tokenizer *tokenizer, rn_encoder **out);
void rn_encoder_destroy(rn_encoder **encoder);

/**
 * Allows special tokens: `names` is a list separated by commas, or "all". An allowed token's text
 * is encoded as its id. Errors: RN_ERR_USAGE naming a token that the tokenizer does not have.
 */
rn_status rn_encoder_allow(rn_err *err, rn_encoder *encoder, const char *names);

/** True if allowed special tokens do not prevent cuts at the positions that rn_tokenizer_cut
 * returns. These are at white space, so no allowed special token may contain white space. */
bool rn_encoder_may_cut(const rn_encoder *encoder);

/** Appends the ids of a text. Errors: RN_ERR_MEMORY, RN_ERR_LIBRARY, RN_ERR_FORMAT. */
rn_status rn_encoder_encode(rn_err *err, rn_encoder *encoder, const char *text, size_t count,
                            rn_tokens *tokens);

#endif
