/**
 * Encodes documents with all threads and passes their tokens to a visitor in order. Long documents
 * are cut where the tokenizer allows it, so that memory is bounded.
 */
#ifndef RN_DATA_TEXT_ENCODE_QUEUE_H
#define RN_DATA_TEXT_ENCODE_QUEUE_H

#include <stdbool.h>

#include "data/tokenizer/tokenizer.h"

/** Receives the tokens of documents in order; `begins` is true in the first call of a document,
 * `ends` in the last. */
typedef struct rn_queue_visitor {
  rn_status (*visit)(void *self, rn_err *err, const rn_tokens *tokens, bool begins, bool ends);
  void *self;
} rn_queue_visitor;

typedef struct rn_encode_queue rn_encode_queue;

/**
 * Creates the queue; special tokens named in `special` are allowed in texts (NULL: none). A stretch
 * of text that cannot be cut may have at most `max_bytes` bytes (0: 1 GiB).
 * Ownership: the tokenizer must outlive the queue. Errors: RN_ERR_MEMORY, RN_ERR_USAGE.
 */
rn_status rn_encode_queue_create(rn_err *err, const rn_tokenizer *tokenizer, const char *special,
                                 size_t max_bytes, rn_queue_visitor visitor, rn_encode_queue **out);
void rn_encode_queue_destroy(rn_encode_queue **queue);

/** Adds a piece of a document. `name` names its document in messages. Errors: RN_ERR_FORMAT for a
 * text that is too long; those of encoding and of the visitor. */
rn_status rn_encode_queue_add(rn_err *err, rn_encode_queue *queue, const char *name,
                              const char *bytes, size_t count, bool ends);

/** Encodes the complete segments and passes their tokens to the visitor. */
rn_status rn_encode_queue_flush(rn_err *err, rn_encode_queue *queue);

#endif
