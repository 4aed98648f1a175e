/*
 * Checks that a batch contains tokens, targets and the distance of each token to the start of its
 * document, even if the document began in an earlier segment of the sequence or in an earlier
 * sequence of the stream. A split of several shards must be one sequence of tokens, whatever the
 * lengths of the shards are.
 */
#include "data/batch/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/text/tokenizer.h"
#include "tests/support/temp.h"
#include "tests/support/tokens.h"

enum { T = 50 };

static rn_err err;
static rn_split split;

/* Numbers of tokens of the shards. They are such that shards end inside a document, just after a
 * block of tokens, after a single token, and at the end of a block. */
static const int64_t shard_tokens[] = {100, RN_SHARD_BLOCK_TOKENS + 5, 1, 37,
                                       RN_SHARD_BLOCK_TOKENS};
enum { SHARDS = sizeof shard_tokens / sizeof shard_tokens[0] };

static void make_shards(void) {
  int64_t first = 0;
  for (int i = 0; i < SHARDS; i++) {
    char name[32];
    snprintf(name, sizeof name, "%05d.rtd", i);
    test_write_shard("many/train", name, first, shard_tokens[i]);
    first += shard_tokens[i];
  }
}

static void several_shards_are_one_row(void) {
  int64_t total = 0, wrong = 0;
  for (int i = 0; i < SHARDS; i++) total += shard_tokens[i];
  CHECK_EQUAL(split.shards, SHARDS);
  CHECK_EQUAL(split.tokens, total);
  CHECK_EQUAL(rn_split_sequences(&split, T), (total - 1) / T);
  /* A sequence of `total` inputs needs total + 1 tokens. */
  CHECK_EQUAL(rn_split_sequences(&split, (int)total), 0);
  CHECK_EQUAL(rn_split_sequences(&split, (int)total - 1), 1);
  int32_t *ids = calloc((size_t)total, sizeof *ids);
  if (ids == NULL) abort();
  CHECK_OK(&err, rn_split_read(&err, &split, 0, total, ids));
  for (int64_t i = 0; i < total; i++) wrong += ids[i] != test_token(i);
  CHECK_EQUAL(wrong, 0);
  for (int64_t edge = 0, i = 0; i < SHARDS; edge += shard_tokens[i++]) {
    for (int64_t first = edge > 3 ? edge - 3 : 0; first <= edge; first++) {
      const int64_t count = total - first < 45 ? total - first : 45;
      CHECK_OK(&err, rn_split_read(&err, &split, first, count, ids));
      for (int64_t k = 0; k < count; k++) wrong += ids[k] != test_token(first + k);
    }
  }
  CHECK_EQUAL(wrong, 0);
  CHECK_FAILS(&err, RN_ERR_USAGE, "tokens", rn_split_read(&err, &split, total - 1, 2, ids));
  free(ids);
}

/* Checks that the content hash of a split changes with its tokens, the number of shards and
 * their order. */
static void the_content_is_that_of_all_shards(void) {
  const uint64_t content = split.content;
  rn_split other;
  CHECK(rename("many/train/00000.rtd", "many/00000.rtd") == 0);
  test_write_shard("many/train", "00000.rtd", 1, shard_tokens[0]);
  CHECK_OK(&err, rn_split_open(&err, "many", "train", &other));
  CHECK(other.content != content);
  rn_split_close(&other);
  CHECK(rename("many/00000.rtd", "many/train/00000.rtd") == 0);
  CHECK(rename("many/train/00004.rtd", "many/00004.rtd") == 0);
  CHECK_OK(&err, rn_split_open(&err, "many", "train", &other));
  CHECK(other.content != content);
  rn_split_close(&other);
  CHECK(rename("many/00004.rtd", "many/train/00004.rtd") == 0);
  CHECK(rename("many/train/00002.rtd", "many/train/00009.rtd") == 0);
  CHECK_OK(&err, rn_split_open(&err, "many", "train", &other));
  CHECK(other.content != content);
  rn_split_close(&other);
  CHECK(rename("many/train/00009.rtd", "many/train/00002.rtd") == 0);
}

/* Returns the number of tokens since the document of token `at` began, or since `begin` if that
 * is later. Without `reset` returns the number since `begin`. */
static int32_t distance(int64_t at, int64_t begin, bool reset) {
  int64_t start = begin;
  for (int64_t i = begin; i <= at && reset; i++) {
    if (test_token(i) == RN_BYTES_DOCUMENT) start = i;
  }
  return (int32_t)(at - start);
}

static int64_t not_as_wanted(const rn_batch *b, int row, int64_t at, int64_t begin, bool reset) {
  int64_t wrong = 0;
  for (int t = 0; t < b->tokens; t++) {
    const int64_t i = (int64_t)row * b->tokens + t;
    wrong += b->input[i] != test_token(at + t) || b->target[i] != test_token(at + t + 1) ||
             b->doc_position[i] != distance(at + t, begin, reset);
  }
  return wrong;
}

/* Checks all pieces of a few sequences; a document may begin before the piece. */
static void pieces_know_where_documents_began(bool reset) {
  static const int64_t cuts[] = {0, 1, 13, 24, 25, T};
  static const int64_t stored[] = {0, 1, 7, 1310, 1311};
  rn_batch batch;
  if (!CHECK_OK(&err, rn_batch_create(&err, 5, T, T, &batch))) return;
  for (int c = 0; c + 1 < 6; c++) {
    rn_batch_start(&batch, cuts[c], cuts[c + 1]);
    for (int i = 0; i < 5; i++) {
      CHECK_OK(&err, rn_batch_add(&err, &batch, (rn_sequence_source){&split, T, reset}, stored[i],
                                  100 + i));
    }
    CHECK_EQUAL(batch.sequences, 5);
    for (int i = 0; i < 5; i++) {
      const int64_t begin = stored[i] * T;
      CHECK_EQUAL(batch.sequence_index[i], 100 + i);
      CHECK_EQUAL(not_as_wanted(&batch, i, begin + cuts[c], begin, reset), 0);
    }
  }
  rn_batch_destroy(&batch);
}

/* Checks a stream of sequences whose documents continue from one sequence to the next. Each
 * sequence is read in two segments. A document begins at the first token of sequence 37. */
static void streams_go_on(bool reset) {
  enum { FIRST = 34, LAST = 40 };
  rn_batch batch;
  int32_t doc_position = 0;
  if (!CHECK_OK(&err, rn_batch_create(&err, 1, T, T, &batch))) return;
  for (int64_t stored = FIRST; stored < LAST; stored++) {
    int32_t after = doc_position;
    for (int late = 0; late < 2; late++) {
      after = doc_position;
      rn_batch_start(&batch, late * 20, late == 0 ? 20 : T);
      CHECK_OK(&err, rn_batch_continue(&err, &batch, (rn_sequence_source){&split, T, reset}, stored,
                                       stored, &after));
      CHECK_EQUAL(not_as_wanted(&batch, 0, stored * T + late * 20, FIRST * T, reset), 0);
    }
    doc_position = after;
    CHECK_EQUAL(doc_position, distance((stored + 1) * T - 1, FIRST * T, reset) + 1);
  }
  rn_batch_destroy(&batch);
}

int main(void) {
  CHECK(chdir(temp_folder()) == 0);
  make_shards();
  if (CHECK_OK(&err, rn_split_open(&err, "many", "train", &split))) {
    several_shards_are_one_row();
    the_content_is_that_of_all_shards();
    for (int reset = 0; reset < 2; reset++) {
      pieces_know_where_documents_began(reset != 0);
      streams_go_on(reset != 0);
    }
    rn_split_close(&split);
  }
  return check_result();
}
