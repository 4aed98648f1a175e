/** Defines functions for tests of training: they load a configuration, write splits, and save a
 * run. */
#ifndef RN_TESTS_SUPPORT_TRAINING_H
#define RN_TESTS_SUPPORT_TRAINING_H

#include <string.h>

#include "comm/world/write_token.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/tokens.h"
#include "trainer/checkpoint/saver.h"

/**
 * Loads a configuration from `words`: "section.key=value" separated by spaces. Modifies `words`.
 */
static inline rn_status test_load_words(rn_err *err, char *words, Retnet__Config **config) {
  enum { MAX_KEYS = 40 };
  const char *key[MAX_KEYS];
  int count = 0;
  for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
    if (!CHECK(count < MAX_KEYS)) break;
    key[count++] = word;
  }
  return rn_options_load(err, NULL, key, count, config);
}

/**
 * Rank 0 writes a train split of `train` tokens and a val split of `val` tokens; both begin with
 * test_token(0). Collective: over the world.
 */
static inline void test_write_splits(rn_world *world, const char *folder, int64_t train,
                                     int64_t val) {
  rn_err err = {0};
  if (rn_world_rank(world) == 0) {
    test_write_shard(rn_path_join(folder, "train").text, "00000.rtd", 0, train);
    test_write_shard(rn_path_join(folder, "val").text, "00000.rtd", 0, val);
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

/**
 * Saves a run, then removes all but the newest `keep_last` checkpoints (0: removes none).
 * Collective: over the world.
 */
static inline void test_save_run(rn_world *world, const rn_run *run, int keep_last) {
  rn_err err = {0};
  rn_write_token *write_token = NULL;
  rn_saver *saver = NULL;
  if (!CHECK_OK(&err, rn_write_token_create(&err, world, &write_token))) return;
  CHECK_OK(&err, rn_saver_create(&err, run, NULL, write_token, &saver));
  CHECK_OK(&err, rn_saver_start(&err, saver));
  CHECK_OK(&err, rn_saver_finish(&err, saver, keep_last));
  rn_saver_destroy(&saver);
  rn_write_token_destroy(&write_token);
}

#endif
