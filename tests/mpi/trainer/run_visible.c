/* Checks that a rank whose run directory is not that of rank 0 is named, and that a lock which
 * becomes visible late is waited for. Each rank has a folder of its own, as if the folder were not
 * on a shared file system. */
#include "trainer/train/run_visible.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;

static void write_lock(const char *text) {
  FILE *file = fopen(temp_path("lock"), "w");
  if (!CHECK(file != NULL)) return;
  fputs(text, file);
  fclose(file);
}

static void check_folder(rn_world *world, int rank) {
  static const char words[] =
      "rank 1 on |/lock|is not visible here|run.dir must be on a file system that all hosts mount";
  write_lock("owner of rank 0\n0000000001\n");
  if (rank > 0) unlink(temp_path("lock"));
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words, rn_run_visible_check(&err, world, temp_folder(), 0.3));
  if (rank > 0) write_lock("another owner\n0000000001\n");
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words, rn_run_visible_check(&err, world, temp_folder(), 0.3));
  if (rank > 0) write_lock("owner of rank 0\n0000000017\n"); /* a later heartbeat */
  CHECK_OK(&err, rn_run_visible_check(&err, world, temp_folder(), 10));
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  check_folder(world, rn_world_rank(world));
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
