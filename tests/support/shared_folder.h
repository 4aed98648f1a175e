/** Creates a temporary folder for a test that runs on several ranks. */
#ifndef RN_TESTS_SUPPORT_SHARED_FOLDER_H
#define RN_TESTS_SUPPORT_SHARED_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "comm/world/world.h"
#include "data/file/file.h"
#include "tests/support/check.h"

/**
 * Creates an empty folder that all ranks share; deletes an existing one of the same name. The path
 * contains the process id of the ranks' common parent, so that all ranks use the same one.
 * Collective: over the world.
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
