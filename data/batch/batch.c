#include "data/batch/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/random.h"

size_t rn_batch_bytes(int max_sequences, int max_tokens, int sequence_length) {
  const size_t tokens = (size_t)max_sequences * (size_t)max_tokens;
  return (3 * tokens + (size_t)sequence_length + 1) * sizeof(int32_t) +
         (size_t)max_sequences * sizeof(int64_t);
}

rn_status rn_batch_create(rn_err *err, int max_sequences, int max_tokens, int sequence_length,
                          rn_batch *out) {
  const size_t count = (size_t)max_sequences * (size_t)max_tokens;
  *out = (rn_batch){.max_sequences = max_sequences, .max_tokens = max_tokens};
  rn_status status;
  if ((status = rn_alloc(err, "batch", count, sizeof(int32_t), &out->input)) != RN_OK ||
      (status = rn_alloc(err, "batch", count, sizeof(int32_t), &out->target)) != RN_OK ||
      (status = rn_alloc(err, "batch", count, sizeof(int32_t), &out->doc_position)) != RN_OK ||
      (status = rn_alloc(err, "batch", (size_t)max_sequences, sizeof(int64_t),
                         &out->sequence_index)) != RN_OK ||
      (status = rn_alloc(err, "sequence", (size_t)sequence_length + 1, sizeof(int32_t),
                         &out->whole)) != RN_OK) {
    rn_batch_destroy(out);
  }
  return status;
}

void rn_batch_destroy(rn_batch *batch) {
  free(batch->input);
  free(batch->target);
  free(batch->doc_position);
  free(batch->sequence_index);
  free(batch->whole);
  *batch = (rn_batch){0};
}

void rn_batch_start(rn_batch *batch, int64_t first, int64_t last) {
  assert(last - first <= batch->max_tokens);
  batch->sequences = 0;
  batch->position = first;
  batch->tokens = (int)(last - first);
}

/* Visits tokens 0 .. last-1 of the sequence, stores those that are in the segment, and tracks
 * doc_position. Returns the doc_position of token `last`. */
static int32_t take_segment(rn_batch *batch, int32_t document, int64_t last, int32_t doc_position) {
  const int64_t row = (int64_t)batch->sequences * batch->tokens;
  for (int64_t t = 0; t < last; t++, doc_position += doc_position < INT32_MAX) {
    if (batch->whole[t] == document) doc_position = 0;
    const int64_t at = row + t - batch->position;
    if (t < batch->position || t >= batch->position + batch->tokens) continue;
    batch->input[at] = batch->whole[t];
    batch->target[at] = batch->whole[t + 1];
    batch->doc_position[at] = doc_position;
  }
  return doc_position;
}

/* Returns the token that resets doc_position. If no token resets it, returns -1, which is not a
 * valid token. */
static int32_t document_token(rn_sequence_source source) {
  return source.reset_at_documents ? (int32_t)rn_split_header(source.split)->document_token : -1;
}

/* Reads the first `count` tokens of a sequence, and the token that follows them, into
 * batch->whole. */
static rn_status read_sequence(rn_err *err, rn_batch *batch, rn_sequence_source source,
                               int64_t sample_index, int64_t count) {
  assert(batch->sequences < batch->max_sequences);
  assert(batch->position + batch->tokens <= source.sequence_length);
  return rn_split_read(err, source.split, sample_index * source.sequence_length, count + 1,
                       batch->whole);
}

rn_status rn_batch_add(rn_err *err, rn_batch *batch, rn_sequence_source source,
                       int64_t sample_index, int64_t global_index) {
  const int64_t last = batch->position + batch->tokens;
  RN_TRY(err, read_sequence(err, batch, source, sample_index, last));
  take_segment(batch, document_token(source), last, 0);
  batch->sequence_index[batch->sequences++] = global_index;
  return RN_OK;
}

rn_status rn_batch_continue(rn_err *err, rn_batch *batch, rn_sequence_source source,
                            int64_t sample_index, int64_t global_index, int32_t *doc_position) {
  const int64_t last = source.sequence_length;
  RN_TRY(err, read_sequence(err, batch, source, sample_index, last));
  *doc_position = take_segment(batch, document_token(source), last, *doc_position);
  batch->sequence_index[batch->sequences++] = global_index;
  return RN_OK;
}

void rn_batch_fill_synthetic(rn_batch *batch, int vocab, int64_t global_index) {
  assert(batch->sequences < batch->max_sequences);
  const uint64_t word = (uint64_t)global_index;
  const rn_random_key key = rn_random_key_make(RN_RANDOM_TEST, &word, 1);
  const int64_t row = (int64_t)batch->sequences * batch->tokens;
  for (int64_t t = 0; t < batch->tokens; t++) {
    const uint64_t position = (uint64_t)(batch->position + t);
    batch->input[row + t] = (int32_t)(rn_random_uniform(key, position) * vocab);
    batch->target[row + t] = (int32_t)(rn_random_uniform(key, position + 1) * vocab);
    batch->doc_position[row + t] = (int32_t)position;
  }
  batch->sequence_index[batch->sequences++] = global_index;
}
