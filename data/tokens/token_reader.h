/** Reads ids of any integer type from a file, and divides them into documents. */
#ifndef RN_DATA_TOKENS_TOKEN_READER_H
#define RN_DATA_TOKENS_TOKEN_READER_H

#include "data/tokens/window.h"

/** How ids are stored: little-endian integers. */
typedef struct rn_token_type {
  int bytes; /* 1, 2, 4 or 8 */
  bool is_signed;
} rn_token_type;

/** The properties of the ids. */
typedef struct rn_token_rules {
  int vocabulary;          /* ids are smaller than this */
  const char *tokenizer;   /* name of the tokenizer, for messages */
  int32_t separator;       /* id between documents; -1: none */
  int32_t document;        /* document token of the shards; it always divides documents, since it
                              does so in the shards */
  bool separator_is_first; /* a separator begins a document; else it ends one */
  /* Returns false for an id below `vocabulary` that no token has. NULL: every id has a token. */
  bool (*has)(const void *self, int32_t id);
  const void *self; /* passed to `has` */
} rn_token_rules;

/** Receives ids without separators. `begins` is true if the ids are the first of a new document;
 * `count` may be 0. */
typedef struct rn_token_visitor {
  rn_status (*visit)(void *self, rn_err *err, const int32_t *id, size_t count, bool begins);
  void *self;
  int64_t *read_bytes; /* is increased by the number of bytes read */
} rn_token_visitor;

/** Zero-initialise. */
typedef struct rn_token_reader {
  rn_window data;
  rn_token_type type;
  int64_t first_byte; /* offset of the first token, for the token numbers in messages */
  rn_token_rules rules;
  rn_token_visitor visitor;
  bool open;   /* a document has begun, to which the next ids belong */
  int32_t *id; /* ids of one piece */
} rn_token_reader;

/** Creates a reader. Ownership: the file must outlive the reader. Errors: RN_ERR_MEMORY. */
rn_status rn_token_reader_create(rn_err *err, const rn_file *file, rn_token_reader *reader);
void rn_token_reader_destroy(rn_token_reader *reader);

/**
 * Visits `count` ids from the byte `offset` on; the caller has checked that they are in the file.
 * Errors: those of reading and of the visitor; RN_ERR_FORMAT naming the file and the number of a
 *         token that is negative or not in the vocabulary.
 */
rn_status rn_token_reader_read(rn_err *err, rn_token_reader *reader, int64_t offset, int64_t count);

/** Begins a document, which is empty if no ids follow. */
rn_status rn_token_reader_begin(rn_err *err, rn_token_reader *reader);

#endif
