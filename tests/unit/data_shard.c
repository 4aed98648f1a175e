/* Checks that a shard returns its tokens, that equal input gives equal bytes, and that every
 * flipped bit is detected. */
#include "data/shard/shard.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/batch/sampler.h"
#include "data/batch/split.h"
#include "data/text/tokenizer.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { TOKENS = 2 * RN_SHARD_BLOCK_TOKENS + 77, TEXT_BYTES = 3 /* of each token */ };

static rn_err err;

static int32_t token(int64_t i) {
  return i % 1000 == 0 ? RN_BYTES_DOCUMENT : (int32_t)((i * i + i / 7) % 256);
}

static void write_shard(const char *path, int64_t count) {
  rn_shard_writer *writer = NULL;
  CHECK_OK(&err, rn_shard_writer_create(&err, path, rn_tokenizer_kind(), &writer));
  for (int64_t at = 0; at < count;) {
    int32_t ids[999];
    int64_t piece = count - at < 999 ? count - at : 999;
    for (int64_t i = 0; i < piece; i++) ids[i] = token(at + i);
    CHECK_OK(&err, rn_shard_append(&err, writer, ids, piece, TEXT_BYTES * piece));
    at += piece;
  }
  CHECK_OK(&err, rn_shard_finish(&err, &writer));
}

static void tokens_come_back_from_any_place(void) {
  rn_split split;
  int32_t *ids = calloc(TOKENS, sizeof *ids);
  if (!CHECK_OK(&err, rn_split_open(&err, "shard-test", "train", &split))) return;
  CHECK_EQUAL(split.tokens, TOKENS);
  for (int64_t from = 0; from < TOKENS; from += 30011) {
    const int64_t count = TOKENS - from < 70001 ? TOKENS - from : 70001;
    CHECK_OK(&err, rn_split_read(&err, &split, from, count, ids));
    int wrong = 0;
    for (int64_t i = 0; i < count; i++) wrong += ids[i] != token(from + i);
    CHECK_EQUAL(wrong, 0);
  }
  CHECK_FAILS(&err, RN_ERR_USAGE, "tokens", rn_split_read(&err, &split, TOKENS, 1, ids));
  rn_split_close(&split);
  free(ids);
}

/* The footer must have, for each block, the number of documents that begin before it. */
static void blocks_know_their_first_document(void) {
  rn_shard shard;
  if (!CHECK_OK(&err, rn_shard_open(&err, "shard-test/train/0.rtd", &shard))) return;
  CHECK_EQUAL(shard.footer->n_block, 3);
  for (size_t i = 0; i < shard.footer->n_block; i++) {
    const Retnet__BlockExtent *block = shard.footer->block[i];
    CHECK_EQUAL(block->first_document, (block->first_token + 999) / 1000);
  }
  rn_shard_close(&shard);
}

/* Checks that the largest token of a vocabulary is read back. Tokens of the vocabularies of 257 and
 * 65537 need one byte more than those of 256 and 65536. */
static void the_largest_token_comes_back(void) {
  static const int vocabulary[] = {256, 257, 65536, 65537, 1 << 20};
  int32_t *ids = calloc(RN_SHARD_BLOCK_TOKENS, sizeof *ids);
  for (size_t i = 0; i < sizeof vocabulary / sizeof vocabulary[0]; i++) {
    const rn_shard_kind kind = {"large", 1, vocabulary[i], 0};
    const int32_t tokens[] = {0, vocabulary[i] - 1};
    rn_shard_writer *writer = NULL;
    rn_shard shard;
    CHECK_OK(&err, rn_shard_writer_create(&err, "shard-large.rtd", kind, &writer));
    CHECK_OK(&err, rn_shard_append(&err, writer, tokens, 2, 2));
    CHECK_OK(&err, rn_shard_finish(&err, &writer));
    if (!CHECK_OK(&err, rn_shard_open(&err, "shard-large.rtd", &shard))) break;
    CHECK_OK(&err, rn_shard_read_block(&err, &shard, 0, ids));
    CHECK_EQUAL(ids[1], vocabulary[i] - 1);
    rn_shard_close(&shard);
  }
  free(ids);
}

static void save(const char *path, const void *bytes, size_t count) {
  CHECK_OK(&err, rn_file_replace(&err, path, bytes, count));
}

static void every_flipped_bit_is_found(void) {
  unsigned char *bytes = NULL;
  size_t count = 0;
  write_shard("shard-small.rtd", 100);
  CHECK_OK(&err, rn_shard_verify(&err, "shard-small.rtd"));
  CHECK_OK(&err, rn_file_load(&err, "shard-small.rtd", 1 << 20, (void **)&bytes, &count));
  int missed = 0;
  for (size_t at = 0; at < count; at++) {
    bytes[at] ^= (unsigned char)(1u << (at % 8));
    FILE *file = fopen("shard-bad.rtd", "wb");
    CHECK(file != NULL && fwrite(bytes, 1, count, file) == count);
    fclose(file);
    bytes[at] ^= (unsigned char)(1u << (at % 8));
    missed += rn_shard_verify(&err, "shard-bad.rtd") == RN_OK;
    rn_err_clear(&err);
  }
  CHECK_EQUAL(missed, 0);
  free(bytes);
}

static void a_cut_shard_gives_its_whole_blocks(void) {
  unsigned char *bytes = NULL;
  size_t count = 0;
  int64_t before = 0;
  rn_shard_recovery saved;
  CHECK_OK(&err, rn_file_load(&err, "shard-test/train/0.rtd", 1 << 24, (void **)&bytes, &count));
  for (size_t cut = 0; cut < count; cut += count / 17) {
    save("shard-cut.rtd", bytes, cut);
    CHECK(rn_shard_verify(&err, "shard-cut.rtd") != RN_OK);
    rn_err_clear(&err);
    if (cut < 1024) continue;
    const rn_status status = rn_shard_recover(&err, "shard-cut.rtd", &saved);
    if (saved.blocks == 0) {
      CHECK_FAILS(&err, RN_ERR_FORMAT, "shard-cut.rtd|no undamaged block", status);
      CHECK(before == 0 && !rn_file_exists("shard-cut.rtd.recovered"));
      continue;
    }
    CHECK_OK(&err, status);
    CHECK(saved.tokens >= before);
    CHECK(saved.tokens == TOKENS || saved.tokens % RN_SHARD_BLOCK_TOKENS == 0);
    before = saved.tokens;
    CHECK_OK(&err, rn_shard_verify(&err, "shard-cut.rtd.recovered"));
  }
  CHECK(before > 0);
  free(bytes);
}

/* Returns whether a shard contains all blocks of the undamaged shard except block `left_out`
 * (-1: all), and the number of bytes of their text. */
static bool holds_all_but(const char *path, int64_t left_out) {
  rn_shard shard;
  bool same = true;
  int32_t *ids = calloc(RN_SHARD_BLOCK_TOKENS, sizeof *ids);
  if (!CHECK_OK(&err, rn_shard_open(&err, path, &shard))) return false;
  CHECK_EQUAL(shard.footer->text_bytes, TEXT_BYTES * shard.footer->tokens);
  for (int64_t b = 0; b < (int64_t)shard.footer->n_block; b++) {
    const int64_t first = (b + (left_out >= 0 && b >= left_out)) * RN_SHARD_BLOCK_TOKENS;
    CHECK_OK(&err, rn_shard_read_block(&err, &shard, b, ids));
    for (int64_t i = 0; i < (int64_t)shard.footer->block[b]->tokens; i++) {
      same &= first + i < TOKENS && ids[i] == token(first + i);
    }
  }
  rn_shard_close(&shard);
  free(ids);
  return same;
}

/* If one byte is damaged, recovery must lose at most the block that contains the byte, and no
 * tokens if the byte is in the header or footer. */
static void damage_costs_one_block(void) {
  unsigned char *bytes = NULL;
  size_t count = 0;
  CHECK_OK(&err, rn_file_load(&err, "shard-test/train/0.rtd", 1 << 24, (void **)&bytes, &count));
  for (size_t at = 3; at < count; at += count / 41) {
    rn_shard_recovery saved;
    bytes[at] ^= 0x40;
    save("shard-hit.rtd", bytes, count);
    bytes[at] ^= 0x40;
    if (!CHECK_OK(&err, rn_shard_recover(&err, "shard-hit.rtd", &saved))) continue;
    CHECK(saved.tokens >= TOKENS - RN_SHARD_BLOCK_TOKENS);
    CHECK(saved.tokens == TOKENS || saved.lost_bytes > 0);
    int like = 0;
    for (int64_t b = -1; b < 3; b++) like += holds_all_but("shard-hit.rtd.recovered", b);
    CHECK(like > 0);
    CHECK_OK(&err, rn_shard_verify(&err, "shard-hit.rtd.recovered"));
  }
  free(bytes);
}

static void a_token_that_no_tokenizer_gives_is_refused(void) {
  rn_shard_writer *writer = NULL;
  const int32_t ids[] = {1, 300, 2};
  CHECK_OK(&err, rn_shard_writer_create(&err, "shard-strange.rtd", rn_tokenizer_kind(), &writer));
  CHECK_OK(&err, rn_shard_append(&err, writer, ids, 3, 3));
  CHECK_OK(&err, rn_shard_finish(&err, &writer));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "shard-strange.rtd|vocabulary",
              rn_shard_verify(&err, "shard-strange.rtd"));
}

static bool equal_files(const char *path_a, const char *path_b) {
  unsigned char *a = NULL, *b = NULL;
  size_t count_a = 0, count_b = 0;
  CHECK_OK(&err, rn_file_load(&err, path_a, 1 << 24, (void **)&a, &count_a));
  CHECK_OK(&err, rn_file_load(&err, path_b, 1 << 24, (void **)&b, &count_b));
  const bool equal = count_a == count_b && memcmp(a, b, count_a) == 0;
  free(a);
  free(b);
  return equal;
}

/* Also compares shards written by one thread, which packs the blocks in two batches, and by three
 * threads, which pack them in one. */
static void equal_input_gives_equal_bytes(void) {
  enum { MORE_TOKENS = 4 * RN_SHARD_BLOCK_TOKENS + TOKENS };
  const int threads = omp_get_max_threads();
  write_shard("shard-again.rtd", TOKENS);
  CHECK(equal_files("shard-test/train/0.rtd", "shard-again.rtd"));
  omp_set_num_threads(1);
  write_shard("shard-serial.rtd", MORE_TOKENS);
  CHECK_OK(&err, rn_shard_verify(&err, "shard-serial.rtd"));
  omp_set_num_threads(3);
  write_shard("shard-parallel.rtd", MORE_TOKENS);
  CHECK(equal_files("shard-serial.rtd", "shard-parallel.rtd"));
  omp_set_num_threads(threads);
}

static void the_order_of_an_epoch_is_a_permutation(void) {
  for (int64_t n = 1; n < 200; n += 1 + n / 3) {
    char seen[2][200] = {{0}};
    int changed = 0, reseeded = 0;
    for (int64_t g = 0; g < 2 * n; g++) {
      const int64_t at = rn_sampler_sequence(5, n, g);
      CHECK(at >= 0 && at < n && !seen[g / n][at]);
      seen[g / n][at] = 1;
      reseeded += at != rn_sampler_sequence(6, n, g);
      changed += g < n && at != rn_sampler_sequence(5, n, g + n);
    }
    CHECK(n < 10 || (changed > 0 && reseeded > 0));
  }
}

/* A writer refuses a vocabulary that readers refuse. */
static void too_large_vocabulary_is_refused(void) {
  const rn_shard_kind kind = {"tokenizer", 1, RN_SHARD_MAX_VOCABULARY + 1, 0};
  rn_shard_writer *writer = NULL;
  CHECK_FAILS(&err, RN_ERR_USAGE, "16777217|16777216",
              rn_shard_writer_create(&err, temp_path("large.rtd"), kind, &writer));
  CHECK(writer == NULL);
}

int main(void) {
  CHECK(chdir(temp_folder()) == 0);
  CHECK_OK(&err, rn_file_make_folder(&err, "shard-test/train"));
  write_shard("shard-test/train/0.rtd", TOKENS);
  tokens_come_back_from_any_place();
  blocks_know_their_first_document();
  the_largest_token_comes_back();
  every_flipped_bit_is_found();
  a_cut_shard_gives_its_whole_blocks();
  damage_costs_one_block();
  a_token_that_no_tokenizer_gives_is_refused();
  equal_input_gives_equal_bytes();
  the_order_of_an_epoch_is_a_permutation();
  too_large_vocabulary_is_refused();
  return check_result();
}
