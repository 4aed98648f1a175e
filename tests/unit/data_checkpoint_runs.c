/* Checks that the newest valid checkpoint is found whatever else is in the folder, and that
 * pruning never removes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static rn_path inside(const char *run, const char *name) {
  return rn_path_join(rn_path_join(run, "checkpoints").text, name);
}

static void damage(const char *run, const char *step) {
  rn_file file = {0};
  rn_path part = rn_path_join(inside(run, step).text, "part-00000.zst");
  char byte;
  CHECK_OK(err, rn_file_open(err, part.text, &file));
  CHECK_OK(err, rn_file_read(err, &file, 20, &byte, 1));
  rn_file_destroy(&file);
  FILE *stream = fopen(part.text, "r+b");
  fseek(stream, 20, SEEK_SET);
  fputc(byte ^ 4, stream);
  fclose(stream);
}

static void count_notes(void *context, const char *line) {
  int *notes = context;
  const bool why = strstr(line, "is damaged") != NULL || strstr(line, "is incomplete") != NULL;
  *notes += why && strstr(line, "step-") != NULL;
}

/* Returns the step that rn_ckpt_find finds, or -1 if there is none. Sets *notes to the number of
 * checkpoints that rn_ckpt_find reports as invalid. */
static int64_t found(const char *path, bool mark_bad, int *notes) {
  rn_ckpt *ckpt = NULL;
  rn_ckpt_notes tell = {.report = count_notes, .context = notes};
  *notes = 0;
  rn_status status = rn_ckpt_find(err, path, mark_bad, &tell, &ckpt);
  rn_err_clear(err);
  if (status != RN_OK) return -1;
  int64_t step = rn_ckpt_manifest(ckpt)->step;
  CHECK(fake_is(ckpt, (uint64_t)step));
  rn_ckpt_close(&ckpt);
  return step;
}

static void save(const char *run, int64_t step) {
  CHECK_OK(err, fake_save(err, run, step, (uint64_t)step, 2, 3));
}

/* Returns whether the checkpoints are those of `want`, for example "10 20b 30t ": steps in order,
 * each with a letter for its state (b: bad, t: staged, o: replaced, no letter: whole) and a space.
 */
static bool listed(const char *run, const char *want) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  char names[1024] = "";
  CHECK_OK(err, rn_ckpt_list(err, run, &entries, &count));
  for (int i = 0; i < count; i++) {
    static const char *const ends[] = {"", "b", "t", "o"};
    char name[32];
    snprintf(name, sizeof name, "%d%s ", (int)entries[i].step, ends[entries[i].state]);
    strcat(names, name);
  }
  free(entries);
  if (strcmp(names, want) != 0) fprintf(stderr, "got %s, want %s\n", names, want);
  return strcmp(names, want) == 0;
}

static void damaged_ones_are_passed_by(void) {
  const char *run = temp_path("a");
  int notes;
  CHECK_EQUAL(found(run, true, &notes), -1);
  for (int step = 10; step <= 40; step += 10) save(run, step);
  CHECK_EQUAL(found(run, false, &notes), 40);
  CHECK_EQUAL(notes, 0);
  CHECK_EQUAL(found(inside(run, "step-00000020/").text, false, &notes), 20);
  damage(run, "step-00000040");
  CHECK_OK(err, rn_file_remove_tree(err, inside(run, "step-00000030/manifest.pb").text));
  CHECK_EQUAL(found(run, false, &notes), 20);
  CHECK_EQUAL(notes, 2);
  CHECK(listed(run, "10 20 30 40 "));
  CHECK_EQUAL(found(inside(run, "step-00000040").text, true, &notes), -1);
  CHECK(listed(run, "10 20 30 40 "));
  CHECK_EQUAL(found(run, true, &notes), 20);
  CHECK_EQUAL(notes, 2);
  /* Checkpoint 30 lacks a file. It is not renamed, since another host may see the file. */
  CHECK(listed(run, "10 20 30 40b "));
  CHECK_EQUAL(found(run, true, &notes), 20);
  CHECK_EQUAL(notes, 1);
  save(run, 30);
  CHECK(listed(run, "10 20 30 40b "));
  CHECK_OK(err, rn_ckpt_prune(err, run, 3, 0));
  CHECK(listed(run, "10 20 30 40b "));
  save(run, 40);
  damage(run, "step-00000040");
  CHECK_EQUAL(found(run, true, &notes), 30);
  CHECK(listed(run, "10 20 30 40b "));
  damage(run, "step-00000010");
  damage(run, "step-00000020");
  damage(run, "step-00000030");
  CHECK_EQUAL(found(run, true, &notes), -1);
  CHECK_EQUAL(notes, 3);
  CHECK(listed(run, "10 20 30 40b "));
  rn_ckpt *ckpt = NULL;
  CHECK_FAILS(err, RN_ERR_FORMAT, "all 3 are damaged", rn_ckpt_find(err, run, false, NULL, &ckpt));
}

static void latest_is_only_a_hint(void) {
  const char *run = temp_path("b");
  int notes;
  void *text = NULL;
  size_t bytes = 0;
  save(run, 5);
  save(run, 6);
  CHECK_OK(err, rn_file_load(err, inside(run, "latest").text, 100, &text, &bytes));
  CHECK(strcmp(text, "step-00000006\n") == 0);
  free(text);
  CHECK_OK(err, rn_file_replace(err, inside(run, "latest").text, "step-00000005\n", 14));
  CHECK_EQUAL(found(run, true, &notes), 6);
  CHECK_OK(err, rn_file_remove_tree(err, inside(run, "latest").text));
  CHECK_EQUAL(found(run, true, &notes), 6);
}

static void a_step_can_be_saved_again(void) {
  const char *run = temp_path("c");
  int notes;
  save(run, 100000000);
  CHECK_OK(err, fake_save(err, run, 7, 99, 3, 1));
  save(run, 7);
  CHECK(listed(run, "7 100000000 "));
  CHECK_EQUAL(found(inside(run, "step-00000007").text, true, &notes), 7);
  CHECK_EQUAL(found(run, true, &notes), 100000000);
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 8));
  CHECK_OK(err, rn_file_replace(err, inside(run, "step-00000008.tmp/stale").text, "x", 1));
  CHECK_OK(err, rn_file_make_folder(err, inside(run, "step-9").text));
  CHECK_OK(err, rn_file_replace(err, inside(run, "step-00000009").text, "x", 1));
  CHECK(listed(run, "7 8t 100000000 "));
  save(run, 8);
  CHECK(listed(run, "7 8 100000000 "));
  CHECK(!rn_file_exists(inside(run, "step-00000008/stale").text));
}

static void pruning_keeps_what_it_should(void) {
  const char *run = temp_path("d");
  int notes;
  for (int step = 10; step <= 80; step += 10) save(run, step);
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 85));
  CHECK_OK(err, rn_file_make_folder(err, inside(run, "step-00000075.tmp").text));
  CHECK_OK(err, rn_ckpt_prune(err, run, 0, 0));
  CHECK(listed(run, "10 20 30 40 50 60 70 80 85t "));
  CHECK_OK(err, rn_ckpt_prune(err, run, 2, 40));
  CHECK(listed(run, "40 70 80 85t "));
  CHECK_OK(err, rn_ckpt_prune(err, run, 1, 0));
  CHECK(listed(run, "80 85t "));
  save(run, 90);
  CHECK_OK(err, rn_file_remove_tree(err, inside(run, "step-00000090/part-00001.zst").text));
  CHECK_OK(err, rn_ckpt_prune(err, run, 1, 0));
  CHECK(listed(run, "80 90 "));
  CHECK_EQUAL(found(run, true, &notes), 80);
  CHECK_OK(err, rn_ckpt_prune(err, temp_path("nowhere"), 1, 0));
}

static int64_t free_bytes = INT64_C(1) << 40;

int statvfs(const char *path, struct statvfs *info) {
  (void)path;
  *info = (struct statvfs){.f_blocks = 1, .f_frsize = 1, .f_bavail = (fsblkcnt_t)free_bytes};
  return 0;
}

/* Bytes on disk of a folder with two files. */
static int64_t used_bytes(const char *run, const char *name) {
  static const char *const files[] = {"part-00000.zst", "part-00001.zst", "manifest.pb"};
  int64_t bytes = 0;
  struct stat info;
  for (int i = 0; i < 3; i++) {
    if (stat(rn_path_join(inside(run, name).text, files[i]).text, &info) == 0) {
      bytes += info.st_blocks * 512;
    }
  }
  return bytes;
}

/* Checks that a run can start with `need` free bytes, but not with one byte less. */
static void needs(const char *run, int64_t bytes, rn_ckpt_keep keep, int64_t need) {
  free_bytes = need;
  CHECK_OK(err, rn_ckpt_preflight(err, run, bytes, keep));
  free_bytes = need - 1;
  CHECK_FAILS(err, RN_ERR_IO, "GB free", rn_ckpt_preflight(err, run, bytes, keep));
  free_bytes = INT64_C(1) << 40;
}

/* Only what the next save removes counts as free: before it writes, staging folders that have no
 * checkpoint; after it, for the second checkpoint, all that pruning removes. */
static void preflight_counts_what_a_save_frees(void) {
  const char *run = temp_path("space");
  const int64_t bytes = INT64_C(1) << 30;
  for (int step = 10; step <= 40; step += 10) save(run, step);
  const int64_t one = used_bytes(run, "step-00000010");
  CHECK(one > 0);
  needs(run, bytes, (rn_ckpt_keep){0, 0}, 2 * bytes);
  needs(run, bytes, (rn_ckpt_keep){5, 0}, 2 * bytes);
  needs(run, bytes, (rn_ckpt_keep){4, 0}, 2 * bytes - one);
  needs(run, bytes, (rn_ckpt_keep){4, 10}, 2 * bytes);
  needs(run, bytes, (rn_ckpt_keep){3, 20}, 2 * bytes - one);
  needs(run, one, (rn_ckpt_keep){1, 0}, one);
  CHECK_OK(err, rn_ckpt_mark_bad(err, inside(run, "step-00000040").text));
  needs(run, bytes, (rn_ckpt_keep){0, 0}, 2 * bytes - one);
  save(run, 50);
  CHECK_OK(err, rn_file_rename(err, inside(run, "step-00000050").text,
                               inside(run, "step-00000050.tmp").text));
  needs(run, bytes, (rn_ckpt_keep){0, 0}, 2 * bytes - 2 * one);
  CHECK_OK(err, rn_file_make_folder(err, inside(run, "step-00000030.tmp").text));
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 45));
  CHECK(listed(run, "10 20 30 30t 40b 45t "));
}

static void preflight_names_what_is_wrong(void) {
  const char *run = temp_path("e/f");
  CHECK_OK(err, rn_ckpt_preflight(err, run, 1000, (rn_ckpt_keep){0}));
  CHECK(listed(run, ""));
  CHECK(!rn_file_exists(inside(run, ".trial").text));
  CHECK_FAILS(err, RN_ERR_IO, "e/f/checkpoints|GB free|run.dir",
              rn_ckpt_preflight(err, run, INT64_C(1) << 60, (rn_ckpt_keep){0}));
  CHECK_OK(err, rn_file_replace(err, temp_path("file"), "x", 1));
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "file/run/checkpoints|Not a directory",
              rn_ckpt_preflight(err, temp_path("file/run"), 1000, (rn_ckpt_keep){0}));
}

/* Opens a checkpoint while the owner of the run works: when step 50 is opened, the owner has
 * just saved step 60 and pruned all earlier ones. */
static rn_status open_beside_owner(void *context, rn_err *told, const char *path, rn_ckpt **out) {
  const char *run = context;
  if (strstr(path, "step-00000050") != NULL) {
    save(run, 60);
    CHECK_OK(err, rn_ckpt_prune(err, run, 1, 0));
  }
  return rn_ckpt_open(told, path, out);
}

static void report_nothing(void *context, const char *line) {
  (void)context;
  CHECK(line == NULL);
}

static void pruned_ones_are_not_damaged(void) {
  static char run[RN_PATH_BYTES];
  rn_ckpt *ckpt = NULL;
  const rn_ckpt_notes notes = {.report = report_nothing, .context = run, .open = open_beside_owner};
  snprintf(run, sizeof run, "%s", temp_path("beside"));
  save(run, 40);
  save(run, 50);
  CHECK_OK(err, rn_ckpt_find(err, run, true, &notes, &ckpt));
  if (ckpt != NULL) CHECK_EQUAL(rn_ckpt_manifest(ckpt)->step, 60);
  rn_ckpt_close(&ckpt);
  CHECK(listed(run, "60 "));
}

/* Opens a checkpoint on a failing file server: step 50 cannot be read, and then is not there. */
static rn_status open_on_failing_server(void *context, rn_err *told, const char *path,
                                        rn_ckpt **out) {
  (void)context;
  if (strstr(path, "step-00000050") == NULL) return rn_ckpt_open(told, path, out);
  CHECK_OK(err, rn_file_remove_tree(err, path));
  return rn_fail(told, RN_ERR_IO, "%s: server is down", path);
}

/* The owner of a run would continue from step 40 and save step 50 again. A reader uses step 40,
 * because the owner may have removed step 50. */
static void an_owner_does_not_pass_by_unreadable_ones(void) {
  static char run[RN_PATH_BYTES];
  rn_ckpt *ckpt = NULL;
  const rn_ckpt_notes notes = {.report = report_nothing, .open = open_on_failing_server};
  snprintf(run, sizeof run, "%s", temp_path("failing"));
  save(run, 40);
  save(run, 50);
  CHECK_FAILS(err, RN_ERR_IO, "step-00000050|server is down",
              rn_ckpt_find(err, run, true, &notes, &ckpt));
  CHECK(ckpt == NULL);
  save(run, 50);
  CHECK_OK(err, rn_ckpt_find(err, run, false, &notes, &ckpt));
  if (ckpt != NULL) CHECK_EQUAL(rn_ckpt_manifest(ckpt)->step, 40);
  rn_ckpt_close(&ckpt);
}

int main(void) {
  damaged_ones_are_passed_by();
  latest_is_only_a_hint();
  a_step_can_be_saved_again();
  pruning_keeps_what_it_should();
  pruned_ones_are_not_damaged();
  an_owner_does_not_pass_by_unreadable_ones();
  preflight_names_what_is_wrong();
  preflight_counts_what_a_save_frees();
  return check_result();
}
