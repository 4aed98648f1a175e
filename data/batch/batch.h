/**
 * A batch holds the tokens of a few sequences in the layout that the model requires: inputs,
 * targets, and positions in documents.
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
  int32_t *doc_position;   /* [B, T] number of tokens since the document (or sequence) began */
  int64_t *sequence_index; /* [B] global index of each sequence */
  int64_t position;        /* position of the segment's first token in the sequence */
  int max_sequences, max_tokens;
  int32_t *whole; /* [sequence_length + 1] scratch: the tokens of the sequence being read */
} rn_batch;

/** Returns the number of bytes that rn_batch_create allocates. */
size_t rn_batch_bytes(int max_sequences, int max_tokens, int sequence_length);

/** Creates a batch for up to max_sequences sequences of sequence_length tokens, in segments of at
 * most max_tokens. */
rn_status rn_batch_create(rn_err *err, int max_sequences, int max_tokens, int sequence_length,
                          rn_batch *out);
void rn_batch_destroy(rn_batch *batch);

/** Empties the batch and sets its segment to tokens [first, last) of each sequence. */
void rn_batch_start(rn_batch *batch, int64_t first, int64_t last);

/** A source of sequences is a split that is cut into sequences of equal length. */
typedef struct rn_sequence_source {
  rn_split *split;
  int sequence_length;
  bool reset_at_documents;
} rn_sequence_source;

/**
 * Adds the segment of one sequence of the split. The sequence has the index `sample_index` in the
 * split, begins at token sample_index * sequence_length, and has the global index `global_index`.
 * Errors: those of rn_split_read.
 */
rn_status rn_batch_add(rn_err *err, rn_batch *batch, rn_sequence_source source,
                       int64_t sample_index, int64_t global_index);

/** Adds the segment of a synthetic sequence, which is one document. Its random tokens are a
 * function of `global_index`. */
void rn_batch_fill_synthetic(rn_batch *batch, int vocab, int64_t global_index);

/**
 * Like rn_batch_add, for a sequence that continues a stream. On entry *doc_position is the number
 * of tokens from the start of the document or stream to the first token of this sequence; on
 * return, the same for the next sequence of the stream. Reads the whole sequence to compute this
 * number.
 */
rn_status rn_batch_continue(rn_err *err, rn_batch *batch, rn_sequence_source source,
                            int64_t sample_index, int64_t global_index, int32_t *doc_position);

#endif
