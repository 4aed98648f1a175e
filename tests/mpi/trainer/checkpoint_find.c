/*
 * Checks the search for a checkpoint that some ranks do not see. All ranks then wait, and none
 * renames it. It is found if all ranks see it in time; otherwise an error names a rank that does
 * not. A checkpoint is renamed to step-N.bad only if all ranks have read it and found it invalid. A
 * checkpoint that lacks a file on all ranks is skipped. If a rank cannot read a checkpoint for
 * another reason, the search fails, whatever the other ranks find.
 */
#include "trainer/checkpoint/checkpoint_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"
#include "tests/support/world.h"

static rn_err err;
static rn_world *world;
static rn_path run;

/* Sets RETNET_FAULT to `order` on one rank and to `others` on the others; "": no fault. */
static void set_faults(int rank, const char *order, const char *others) {
  setenv("RETNET_FAULT", rn_world_rank(world) == rank ? order : others, 1);
}

/* Sets RETNET_FAULT on one rank and clears it on the others. */
static void hide_on_rank(int rank, const char *order) {
  set_faults(rank, order, "");
}

static void make_run(void) {
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) {
    run = (rn_path){""};
    snprintf(run.text, sizeof run.text, "%s", temp_path("run"));
    for (int step = 10; status == RN_OK && step <= 30; step += 10) {
      status = fake_save(&err, run.text, step, (uint64_t)step, 2, 2);
    }
  }
  CHECK_OK(&err, rn_agree(&err, world, status));
  CHECK_OK(&err, rn_world_broadcast(&err, world, &run, sizeof run));
}

static rn_path step_path(const char *name) {
  return rn_path_join(rn_path_join(run.text, "checkpoints").text, name);
}

static rn_status find(double timeout_s, rn_path *out) {
  const rn_find_options how = {.mark_bad = true, .timeout_s = timeout_s};
  return rn_checkpoint_find(&err, world, run.text, how, out);
}

static void is_found(const char *name) {
  rn_path out;
  if (!CHECK_OK(&err, find(60, &out))) return;
  CHECK(strcmp(out.text, step_path(name).text) == 0);
}

/* Checks that the checkpoint is found if a fault hides it from rank `rank` only in the first three
 * attempts, which end within the time limit. */
static void a_late_checkpoint_is_found(int rank) {
  hide_on_rank(rank, "ckpt.open:1-3:ENOENT");
  is_found("step-00000030");
  hide_on_rank(rank, "ckpt.list:1-3");
  is_found("step-00000030");
  CHECK(rn_file_exists(step_path("step-00000030").text));
}

/* Checks that the search fails with an error of rank `rank`, whose text names this rank once, and
 * that no checkpoint is renamed. */
static void fails_on(int rank, rn_status status, const char *word) {
  char start[64];
  rn_path out;
  snprintf(start, sizeof start, "rank %d on ", rank);
  CHECK_EQUAL(find(0.5, &out), status);
  CHECK(strstr(err.text, start) == err.text && strstr(err.text + 1, start) == NULL);
  CHECK(strstr(err.text, word) != NULL);
  rn_err_clear(&err);
  CHECK(rn_file_exists(step_path("step-00000030").text));
  CHECK(!rn_file_exists(step_path("step-00000030.bad").text));
}

static void a_missing_checkpoint_is_an_error(int rank) {
  static const char *const orders[] = {"ckpt.open:1-:ENOENT", "ckpt.list:1-"};
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    hide_on_rank(rank, orders[i]);
    fails_on(rank, RN_ERR_MISMATCH, "does not see");
  }
  hide_on_rank(-1, "");
  is_found("step-00000030");
}

static void damage(const char *name) {
  if (rn_world_rank(world) == 0) {
    FILE *file = fopen(rn_path_join(step_path(name).text, "part-00001.zst").text, "r+b");
    if (CHECK(file != NULL)) {
      for (int i = 0; i < 8; i++) {
        fseek(file, 20 + 40 * i, SEEK_SET);
        fputc(0x5a + i, file);
      }
      fclose(file);
    }
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

/* One rank cannot read the newest checkpoint; to the others it seems to be missing or damaged. */
static void an_unreadable_checkpoint_is_an_error(const char *others) {
  for (int rank = 0; rank < rn_world_size(world); rank++) {
    set_faults(rank, "ckpt.open:1-:EIO", others);
    fails_on(rank, RN_ERR_IO, "Input/output error");
  }
  hide_on_rank(-1, "");
}

static void an_invalid_checkpoint_is_renamed(void) {
  is_found("step-00000020");
  CHECK(rn_file_exists(step_path("step-00000030.bad").text));
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) {
    status = rn_file_remove_tree(
        &err, rn_path_join(step_path("step-00000020").text, "part-00000.zst").text);
  }
  CHECK_OK(&err, rn_agree(&err, world, status));
  is_found("step-00000010");
  CHECK(rn_file_exists(step_path("step-00000020").text));
}

int main(int argc, char **argv) {
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  make_run();
  for (int rank = 0; rank < rn_world_size(world) && rn_world_size(world) > 1; rank++) {
    a_late_checkpoint_is_found(rank);
    a_missing_checkpoint_is_an_error(rank);
  }
  if (rn_world_size(world) > 1) an_unreadable_checkpoint_is_an_error("ckpt.open:1-:ENOENT");
  damage("step-00000030");
  if (rn_world_size(world) > 1) an_unreadable_checkpoint_is_an_error("");
  an_invalid_checkpoint_is_renamed();
  return test_finish_world(&err, &world);
}
