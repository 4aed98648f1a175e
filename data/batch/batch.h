/**
 * Tokens of a few sequences as the model takes them: inputs, targets, positions in documents.
 *
 * A rank holds the segment [first, last) of every sequence; it reads the sequence from its start to
 * find the documents that begin before the segment.
 */
#ifndef RN_DATA_BATCH_BATCH_H
#define RN_DATA_BATCH_BATCH_H

#include <stdbool.h>

#include "data/batch/split.h"

typedef struct rn_batch {
  int sequences, tokens;   /* B, T of the segment */
  int32_t *input, *target; /* [B, T] */
  int32_t *doc_position;   /* [B, T] tokens since the document (or sequence) began */
  int64_t *sequence_index; /* [B] global index of each sequence */
  int64_t position;        /* of the segment's first token */
  int max_sequences, max_tokens;
  int32_t *whole; /* [longest sequence + 1] */
} rn_batch;

/** Bytes that rn_batch_create allocates. */
size_t rn_batch_bytes(int max_sequences, int max_tokens, int sequence_length);

/** For max_sequences sequences of sequence_length tokens, segments of at most max_tokens. */
rn_status rn_batch_create(rn_err *err, int max_sequences, int max_tokens, int sequence_length,
                          rn_batch *out);
void rn_batch_destroy(rn_batch *batch);

/** Starts a batch of segments [first, last) (tokens of a sequence). */
void rn_batch_start(rn_batch *batch, int64_t first, int64_t last);

/**
 * Adds the segment of stored sequence `stored`, which begins at token stored sequence_length of the
 * split; its global sequence number is g.
 * Errors: those of rn_split_read.
 */
rn_status rn_batch_add(rn_err *err, rn_batch *batch, rn_split *split, int64_t stored,
                       int sequence_length, int64_t g, bool reset_at_documents);

/** Adds the segment of a synthetic sequence: one document of random tokens, a function of g. */
void rn_batch_fill_synthetic(rn_batch *batch, int vocab, int64_t g);

/**
 * Like rn_batch_add for a sequence that continues a stream: its first token is *doc_position
 * tokens after the start of its document or stream. On return *doc_position is that of the next
 * sequence of the stream; for this the whole sequence is read.
 */
rn_status rn_batch_continue(rn_err *err, rn_batch *batch, rn_split *split, int64_t stored,
                            int sequence_length, int64_t g, bool reset_at_documents,
                            int32_t *doc_position);

#endif
