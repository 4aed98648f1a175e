/* Checks the thread that writes a rank's slices of a checkpoint. If the slices are copied, the file
 * must contain their values at the start of the save, although the caller changes them while the
 * thread writes. Without a copy, the caller may read them. A failure is returned by
 * rn_save_writer_finish, on the later ranks of the file too, and the next save succeeds. Destroying
 * the writer ends a wait for the previous rank. */
#include "trainer/checkpoint/save_writer.h"

#include <stdlib.h>

#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/shared_folder.h"
#include "tests/support/world.h"

enum { SLICES = 2, COUNT = 30000 };

static rn_err err;
static rn_world *world;
static rn_write_token *write_token;
static rn_path run;
static const char *const names[SLICES] = {"first", "second"};
static float values[SLICES][COUNT]; /* this rank's elements of each tensor */

static float value_at(int64_t step, int slice, int64_t index) {
  return (float)(1000 * step + 100 * slice + index % 97);
}

static int64_t first_element(void) {
  return (int64_t)rn_world_rank(world) * COUNT;
}

/* True if another rank writes to the same file before this one. */
static bool comes_later(void) {
  return rn_write_token_first(write_token) != rn_world_rank(world);
}

/* Sets the values of a step and describes them. */
static void describe(int64_t step, rn_ckpt_slice slice[SLICES]) {
  for (int s = 0; s < SLICES; s++) {
    for (int i = 0; i < COUNT; i++) values[s][i] = value_at(step, s, first_element() + i);
    slice[s] = (rn_ckpt_slice){.name = names[s],
                               .dims = 1,
                               .shape = {(int64_t)rn_world_size(world) * COUNT},
                               .first = first_element(),
                               .count = COUNT,
                               .data = values[s]};
  }
}

/* What the training threads do while a save is in progress. */
static void train(const rn_save_writer *writer, bool may_change) {
  double sum = 0;
  do {
    for (int s = 0; s < SLICES; s++) {
      for (int i = 0; may_change && i < COUNT; i++) values[s][i] = -1;
      for (int i = 0; i < COUNT; i++) sum += (double)values[s][i];
    }
    rn_save_writer_write_s(writer);
  } while (rn_save_writer_is_writing(writer));
  CHECK(rn_save_writer_write_s(writer) > 0 && (sum < 0) == may_change);
}

static void stage(int64_t step) {
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) status = rn_ckpt_stage_dir(&err, run.text, step);
  CHECK_OK(&err, rn_agree(&err, world, status));
}

/* Saves a step in the background; returns the status of this rank. */
static rn_status save(rn_save_writer *writer, bool copies, int64_t step, rn_ckpt_report *report) {
  rn_ckpt_slice slice[SLICES];
  describe(step, slice);
  rn_save_writer_start(writer, rn_ckpt_stage_path(run.text, step), 1, slice, SLICES);
  CHECK((slice[0].data != values[0]) == copies);
  CHECK((rn_save_writer_copy_s(writer) > 0) == copies);
  train(writer, copies);
  return rn_save_writer_finish(&err, writer, report);
}

/* Commits a save on rank 0, from the reports of all ranks. */
static void commit(int64_t step, const rn_ckpt_report *report) {
  const Retnet__Manifest head = fake_head(step);
  const int ranks = rn_world_size(world);
  char *bytes = NULL;
  size_t *sizes = NULL, at = 0;
  CHECK_OK(&err, rn_world_gather_bytes(&err, world, report->bytes, report->size, &bytes, &sizes));
  if (rn_world_rank(world) == 0) {
    rn_ckpt_report *all = calloc((size_t)ranks, sizeof *all);
    if (all == NULL) abort();
    for (int r = 0; r < ranks; r++) {
      all[r] = (rn_ckpt_report){.bytes = (uint8_t *)bytes + at, .size = sizes[r]};
      at += sizes[r];
    }
    CHECK_OK(&err, rn_ckpt_commit(&err, run.text, &head, all, ranks));
    free(all);
  }
  free(bytes);
  free(sizes);
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

/* Checks the elements of all ranks on each rank. */
static void check_saved(int64_t step) {
  const int64_t elements = (int64_t)rn_world_size(world) * COUNT;
  float *read = calloc((size_t)elements, sizeof *read);
  rn_ckpt *ckpt = NULL;
  if (read == NULL) abort();
  if (CHECK_OK(&err,
               rn_ckpt_open(&err, rn_ckpt_step_path(run.text, step, RN_CKPT_WHOLE).text, &ckpt))) {
    for (int s = 0; s < SLICES; s++) {
      int64_t wrong = 0;
      CHECK_OK(&err, rn_ckpt_read(&err, ckpt, 0, names[s], (rn_range){0, elements}, read));
      for (int64_t i = 0; i < elements; i++) wrong += read[i] != value_at(step, s, i);
      CHECK_EQUAL(wrong, 0);
    }
  }
  rn_ckpt_close(&ckpt);
  free(read);
}

static void saves_hold_the_values_of_their_start(rn_save_writer *writer, bool copies,
                                                 int64_t first_step) {
  for (int64_t step = first_step; step < first_step + 3; step++) {
    rn_ckpt_report report = {.bytes = NULL};
    stage(step);
    CHECK_OK(&err, save(writer, copies, step, &report));
    commit(step, &report);
    free(report.bytes);
    check_saved(step);
  }
}

/* The folder of the save does not exist. */
static void a_failure_is_returned(rn_save_writer *writer, bool copies) {
  rn_ckpt_report report = {.bytes = NULL};
  CHECK_FAILS(&err, RN_ERR_NOT_FOUND, comes_later() ? "which writes to the same file" : "part-",
              save(writer, copies, 1000, &report));
  free(report.bytes);
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

/* The first rank of a file writes only after the others have destroyed their writers. */
static void destroying_ends_waits(rn_save_writer **writer) {
  rn_ckpt_slice slice[SLICES];
  rn_ckpt_report report = {.bytes = NULL};
  const bool waits = comes_later();
  stage(2000);
  describe(2000, slice);
  if (waits) rn_save_writer_start(*writer, rn_ckpt_stage_path(run.text, 2000), 1, slice, SLICES);
  if (waits) rn_save_writer_destroy(writer);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (!waits) CHECK_OK(&err, save(*writer, true, 2000, &report));
  free(report.bytes);
  rn_save_writer_destroy(writer);
  CHECK(*writer == NULL);
}

static void test(void) {
  rn_save_writer *in_place = NULL, *copying = NULL;
  setenv("RETNET_FAULT", "ckpt.write:1-:slow=20", 1); /* the thread writes while this one trains */
  CHECK_OK(&err, rn_save_writer_create(&err, write_token, 0, &in_place));
  CHECK_OK(&err, rn_save_writer_create(&err, write_token, SLICES * COUNT, &copying));
  if (in_place == NULL || copying == NULL) return;
  saves_hold_the_values_of_their_start(in_place, false, 1);
  saves_hold_the_values_of_their_start(copying, true, 11);
  a_failure_is_returned(in_place, false);
  a_failure_is_returned(copying, true);
  saves_hold_the_values_of_their_start(copying, true, 21);
  destroying_ends_waits(&copying);
  rn_save_writer_destroy(&in_place);
}

int main(int argc, char **argv) {
  const rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  run = test_shared_folder(world, "save-writer");
  if (CHECK_OK(&err, rn_write_token_create(&err, world, &write_token))) test();
  rn_write_token_destroy(&write_token);
  test_remove_shared_folder(world, &run);
  return test_finish_world(&err, &world);
}
