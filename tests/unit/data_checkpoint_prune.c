/*
 * Checks that pruning with verification keeps exactly the newest keep_last good checkpoints, for
 * every combination of good and damaged checkpoints and any keep_last. If the newest checkpoint has
 * a flipped bit, this must be reported.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* What is done to a checkpoint. Only a check of all bytes finds FLIPPED. */
enum { GOOD, FLIPPED, CUT, UNREADABLE, DAMAGES };

enum { CHECKPOINTS = 3 };

static rn_path step_path(const char *run, int64_t step) {
  char name[40];
  snprintf(name, sizeof name, "checkpoints/step-%08lld", (long long)step);
  return rn_path_join(run, name);
}

static const char *const file_names[] = {"manifest.pb", "part-00000.zst"};

/* Copies a checkpoint of the run `from`, without fsync, which would take most of the time. */
static void copy_step(const char *from, const char *run, int64_t step) {
  CHECK_OK(err, rn_file_make_folder(err, step_path(run, step).text));
  for (int i = 0; i < 2; i++) {
    void *content = NULL;
    size_t bytes = 0;
    rn_path source = rn_path_join(step_path(from, step).text, file_names[i]);
    if (!CHECK_OK(err, rn_file_load(err, source.text, 1 << 24, &content, &bytes))) return;
    FILE *file = fopen(rn_path_join(step_path(run, step).text, file_names[i]).text, "wb");
    if (CHECK(file != NULL)) {
      CHECK(fwrite(content, 1, bytes, file) == bytes);
      fclose(file);
    }
    free(content);
  }
}

static void damage(const char *run, int64_t step, int kind) {
  const char *name = file_names[kind == UNREADABLE ? 0 : 1];
  rn_path path = rn_path_join(step_path(run, step).text, name);
  if (kind == GOOD) return;
  FILE *file = fopen(path.text, "r+b");
  if (!CHECK(file != NULL)) return;
  fseek(file, 20, SEEK_SET);
  const int byte = fgetc(file);
  fseek(file, 20, SEEK_SET);
  fputc(byte ^ 4, file);
  fclose(file);
  if (kind == CUT) CHECK(truncate(path.text, 30) == 0);
}

static bool is_good(const char *run, int64_t step) {
  rn_ckpt *ckpt = NULL;
  const bool good = rn_ckpt_open(NULL, step_path(run, step).text, &ckpt) == RN_OK &&
                    rn_ckpt_check(NULL, ckpt, 0, 1) == RN_OK;
  rn_ckpt_close(&ckpt);
  return good;
}

/* `kinds` has one digit in base DAMAGES for each checkpoint, the oldest first. */
static void check_combination(const char *base, int kinds, int keep_last) {
  char name[40];
  snprintf(name, sizeof name, "run-%d-%d", kinds, keep_last);
  const char *run = temp_path(name);
  int kind[CHECKPOINTS], digits = kinds, good_after = 0;
  int64_t newest = 0, newest_good = -1;
  for (int i = 0; i < CHECKPOINTS; i++, digits /= DAMAGES) {
    kind[i] = digits % DAMAGES;
    copy_step(base, run, i + 1);
    damage(run, i + 1, kind[i]);
    if (kind[i] == GOOD) newest_good = i + 1;
  }
  const rn_status status = rn_ckpt_prune_verified(err, run, keep_last, 0, &newest);
  CHECK_EQUAL(newest, newest_good);
  if (kinds == 0) CHECK(status == RN_OK);
  if (kind[CHECKPOINTS - 1] == FLIPPED) CHECK(status == RN_ERR_FORMAT);
  rn_err_clear(err);
  for (int i = CHECKPOINTS - 1; i >= 0; i--) {
    if (kind[i] != GOOD) continue;
    if (!CHECK(is_good(run, i + 1) == (good_after < keep_last))) {
      fprintf(stderr, "checkpoint %d of combination %d, keep_last %d\n", i + 1, kinds, keep_last);
    }
    good_after++;
  }
  rn_file_remove_tree(err, run);
}

int main(void) {
  const char *base = temp_path("base");
  int combinations = 1;
  for (int i = 0; i < CHECKPOINTS; i++) {
    CHECK_OK(err, fake_save(err, base, i + 1, (uint64_t)i, 1, 2));
  }
  for (int i = 0; i < CHECKPOINTS; i++) combinations *= DAMAGES;
  for (int kinds = 0; kinds < combinations; kinds++) {
    for (int keep_last = 1; keep_last <= 2; keep_last++) check_combination(base, kinds, keep_last);
  }
  return check_result();
}
