/**
 * Tokens of a few sequences as the model takes them: inputs, targets, places in documents.
 *
 * A reader knows its piece [first, last) of every sequence; documents that began before the piece
 * are found by reading the sequence from its start. A sequence starts with nothing before it.
 */
#ifndef RN_DATA_BATCH_BATCH_H
#define RN_DATA_BATCH_BATCH_H

#include <stdbool.h>

#include "data/batch/split.h"

typedef struct rn_batch {
  int sequences, tokens;    /* B, T of the piece */
  int32_t *input, *target;  /* [B, T] */
  int32_t *since;           /* [B, T] tokens since the document (or sequence) began */
  int64_t *sequence_number; /* [B] global numbers */
  int64_t position;         /* of the piece's first token */
  int max_sequences, max_tokens;
  int32_t *whole; /* [longest sequence + 1] */
} rn_batch;

/** Bytes of a batch. */
size_t rn_batch_bytes(int max_sequences, int max_tokens, int sequence_length);

/** For at most B sequences of sequence_length, pieces of at most max_tokens. */
rn_status rn_batch_create(rn_err *err, int max_sequences, int max_tokens, int sequence_length,
                          rn_batch *out);
void rn_batch_destroy(rn_batch *batch);

/** Starts a batch of pieces first .. last-1 (tokens of a sequence). */
void rn_batch_start(rn_batch *batch, int64_t first, int64_t last);

/**
 * Adds the piece of stored sequence `stored` (tokens from stored T on), global number g.
 * Errors: those of rn_split_read.
 */
rn_status rn_batch_add(rn_err *err, rn_batch *batch, rn_split *split, int64_t stored,
                       int sequence_length, int64_t g, bool reset_at_documents);

/** Adds the piece of a made-up sequence, global number g, one document of random tokens. */
void rn_batch_fill_synthetic(rn_batch *batch, int vocab, int64_t g);

/**
 * The same as rn_batch_add for a sequence that goes on: *since tokens lie between it and the start
 * of its document or stream. On return *since is that of the sequence behind it, which the whole is
 * read for.
 */
rn_status rn_batch_continue(rn_err *err, rn_batch *batch, rn_split *split, int64_t stored,
                            int sequence_length, int64_t g, bool reset_at_documents,
                            int32_t *since);

#endif
