/**
 * Writes synthetic splits, with a document every 37 tokens, for tests that train on real shards.
 */
#ifndef RN_TESTS_SUPPORT_TOKENS_H
#define RN_TESTS_SUPPORT_TOKENS_H

#include <stdint.h>

#include "data/shard/shard.h"
#include "data/text/tokenizer.h"
#include "tests/support/check.h"

/** Returns token `at` of the synthetic text, from which all splits are cut. */
static inline int32_t test_token(int64_t at) {
  return at % 37 == 0 ? RN_BYTES_DOCUMENT : (int32_t)(at * at % 251 * 7 % 11 + at / 37 % 5);
}

/** Writes tokens [first, first + count) as the shard `folder`/`name`, with `kind` in its header. */
static inline void test_write_shard_of(rn_shard_kind kind, const char *folder, const char *name,
                                       int64_t first, int64_t count) {
  rn_err err = {0};
  rn_shard_writer *writer = NULL;
  const rn_path path = rn_path_join(folder, name);
  CHECK_OK(&err, rn_file_make_folder(&err, folder));
  if (!CHECK_OK(&err, rn_shard_writer_create(&err, path.text, kind, &writer))) return;
  for (int64_t i = first; i < first + count; i++) {
    const int32_t token = test_token(i);
    CHECK_OK(&err, rn_shard_append(&err, writer, &token, 1, token != RN_BYTES_DOCUMENT));
  }
  CHECK_OK(&err, rn_shard_finish(&err, &writer));
}

/** Writes a shard as test_write_shard_of does, with the byte tokenizer's kind in its header. */
static inline void test_write_shard(const char *folder, const char *name, int64_t first,
                                    int64_t count) {
  test_write_shard_of(rn_tokenizer_kind(), folder, name, first, count);
}

#endif
