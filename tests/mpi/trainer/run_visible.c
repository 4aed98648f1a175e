/* Checks that an error names a rank whose run directory is not that of rank 0, and that ranks wait
 * for a lock that becomes visible to them late. Each rank has a folder of its own, as if the folder
 * were not on a shared file system. */
#include "trainer/train/run_visible.h"

#include <stdio.h>
#include <sys/stat.h>
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

static bool never(void) {
  return false;
}

static bool always(void) {
  return true;
}

static rn_status check(rn_world *world, double timeout_s) {
  rn_collective_stop stop = {.asked = never};
  return rn_run_visible_check(&err, world, temp_folder(), timeout_s, &stop);
}

/* Rank 0 asks all ranks to stop while rank 1 waits for the lock. */
static void check_stop(rn_world *world, int rank) {
  rn_collective_stop stop = {.asked = rank == 0 ? always : never};
  CHECK_OK(&err, rn_run_visible_check(&err, world, temp_folder(), 1e6, &stop));
  CHECK(atomic_load(&stop.given));
}

static void check_folder(rn_world *world, int rank) {
  static const char words[] =
      "rank 1 on |/lock|is not visible here|run.dir must be on a file system that all hosts mount";
  CHECK_OK(&err, check(world, 1e6)); /* even rank 0 has no lock */
  write_lock("owner of rank 0\nbeat 0000000001\n");
  if (rank > 0) unlink(temp_path("lock"));
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words, check(world, 0.3));
  if (rank > 0) CHECK(mkdir(temp_path("lock"), 0777) == 0); /* cannot be read */
  CHECK_FAILS(&err, RN_ERR_MISMATCH, "rank 1 on |is not visible here|/lock: |directory",
              check(world, 0.3));
  if (rank > 0) rmdir(temp_path("lock"));
  if (rank > 0) write_lock("another owner\nbeat 0000000001\n");
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words, check(world, 0.3));
  check_stop(world, rank);
  if (rank > 0) write_lock("owner of rank 0\nbeat 0000000017\n"); /* a later heartbeat */
  CHECK_OK(&err, check(world, 10));
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
