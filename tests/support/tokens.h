/** Splits of made-up bytes with documents of unequal length, for tests that train on real shards.
 */
#ifndef RN_TESTS_SUPPORT_TOKENS_H
#define RN_TESTS_SUPPORT_TOKENS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "comm/world.h"
#include "data/shard.h"
#include "data/tokenizer.h"
#include "tests/support/check.h"

/** Token `at` of every split: a document begins every 37 tokens. */
static inline int32_t test_token(int64_t at) {
  return at % 37 == 0 ? RN_BYTES_DOCUMENT : (int32_t)(at * at % 251 * 7 % 11 + at / 37 % 5);
}

/** Writes tokens first .. first+count-1 as the shard `folder`/`name`. */
static inline void test_write_shard(const char *folder, const char *name, int64_t first,
                                    int64_t count) {
  rn_err err = {0};
  rn_shard_writer *writer = NULL;
  const rn_path path = rn_path_join(folder, name);
  CHECK_OK(&err, rn_file_make_folder(&err, folder));
  if (!CHECK_OK(&err, rn_shard_writer_create(&err, path.text, rn_tokenizer_kind(), &writer)))
    return;
  for (int64_t i = first; i < first + count; i++) {
    const int32_t token = test_token(i);
    CHECK_OK(&err, rn_shard_append(&err, writer, &token, 1, token != RN_BYTES_DOCUMENT));
  }
  CHECK_OK(&err, rn_shard_finish(&err, &writer));
}

/**
 * A folder that all ranks of one mpirun share, without what an earlier test left in it; they have
 * one parent. Collective: over the world.
 */
static inline rn_path test_shared_folder(rn_world *world, const char *name) {
  rn_err err = {0};
  rn_path path;
  const char *base = getenv("TMPDIR");
  snprintf(path.text, sizeof path.text, "%s/retnet-%s-%ld", base != NULL ? base : "/tmp", name,
           (long)getppid());
  if (rn_world_rank(world) == 0) {
    if (rn_file_exists(path.text)) CHECK_OK(&err, rn_file_remove_tree(&err, path.text));
    CHECK_OK(&err, rn_file_make_folder(&err, path.text));
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
  return path;
}

static inline void test_remove_shared_folder(rn_world *world, const rn_path *path) {
  rn_err err = {0};
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (rn_world_rank(world) == 0) CHECK_OK(&err, rn_file_remove_tree(&err, path->text));
}

#endif
