/* Checks that `retnet-ckpt verify` finds every changed bit, missing byte and extra file of a
 * checkpoint. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

enum { PARTS = 2, MAX_BYTES = 1 << 20 };

static rn_err *err = &(rn_err){0};

/* Saves two tensors, one of them in both files. The tensors are so small that the test can flip
 * every bit of the files. */
static rn_status save(const char *run_dir, int64_t step) {
  float values[60];
  for (int i = 0; i < 60; i++) values[i] = fake_value(1, 0, 0, i);
  const rn_ckpt_slice slices[3] = {
      {RETNET__TENSOR_KIND__KIND_WEIGHT, "a", 2, {3, 20}, 0, 25, values},
      {RETNET__TENSOR_KIND__KIND_WEIGHT, "a", 2, {3, 20}, 25, 35, values + 25},
      {RETNET__TENSOR_KIND__KIND_EXP_AVG_SQ, "a", 2, {3, 20}, 0, 60, (float[60]){0}}};
  rn_ckpt_report reports[PARTS] = {{.bytes = NULL}};
  Retnet__Manifest head = fake_head(step);
  rn_path stage = rn_ckpt_stage_path(run_dir, step);
  CHECK_OK(err, rn_ckpt_stage_dir(err, run_dir, step));
  for (int i = 0; i < PARTS; i++) {
    CHECK_OK(err, rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, i, 0, 1}, &slices[i], 1 + i,
                                     &reports[i]));
  }
  rn_status status = rn_ckpt_commit(err, run_dir, &head, reports, PARTS);
  for (int i = 0; i < PARTS; i++) free(reports[i].bytes);
  return status;
}

static rn_status verify(const char *step_path) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_open(err, step_path, &ckpt));
  rn_status status = rn_ckpt_verify(err, ckpt);
  rn_ckpt_close(&ckpt);
  return status;
}

/* Returns whether verify() fails with a message that names the file. */
static bool noticed(const char *step_path, const char *name) {
  rn_status status = verify(step_path);
  bool named = strstr(err->text, name) != NULL;
  rn_err_clear(err);
  return status != RN_OK && named;
}

static void write_back(const char *path, const void *data, size_t bytes) {
  rn_file file = {0};
  CHECK_OK(err, rn_file_create(err, path, &file));
  CHECK_OK(err, rn_file_write(err, &file, 0, data, bytes));
  CHECK_OK(err, rn_file_close(err, &file));
}

static int64_t flips_missed(const char *step_path, const char *name, unsigned char *data,
                            size_t bytes) {
  rn_file file = {0};
  int64_t missed = 0;
  CHECK_OK(err, rn_file_create(err, rn_path_join(step_path, name).text, &file));
  CHECK_OK(err, rn_file_write(err, &file, 0, data, bytes));
  for (size_t bit = 0; bit < 8 * bytes; bit++) {
    unsigned char flipped = data[bit / 8] ^ (unsigned char)(1 << bit % 8);
    CHECK_OK(err, rn_file_write(err, &file, (int64_t)bit / 8, &flipped, 1));
    missed += !noticed(step_path, name);
    CHECK_OK(err, rn_file_write(err, &file, (int64_t)bit / 8, &data[bit / 8], 1));
  }
  rn_file_destroy(&file);
  return missed;
}

static int64_t cuts_missed(const char *step_path, const char *name, unsigned char *data,
                           size_t bytes) {
  rn_path path = rn_path_join(step_path, name);
  int64_t missed = 0;
  for (size_t cut = 0; cut < bytes; cut += 1 + cut / 16) {
    write_back(path.text, data, cut);
    missed += !noticed(step_path, name);
  }
  write_back(path.text, data, bytes + 1);
  missed += !noticed(step_path, name);
  CHECK(unlink(path.text) == 0);
  return missed + !noticed(step_path, name);
}

static void damage_file(const char *step_path, const char *name) {
  rn_path path = rn_path_join(step_path, name);
  void *content = NULL;
  size_t bytes = 0;
  CHECK_OK(err, rn_file_load(err, path.text, MAX_BYTES, &content, &bytes));
  CHECK_EQUAL(flips_missed(step_path, name, content, bytes), 0);
  CHECK_OK(err, verify(step_path));
  CHECK_EQUAL(cuts_missed(step_path, name, content, bytes), 0);
  write_back(path.text, content, bytes);
  CHECK_OK(err, verify(step_path));
  free(content);
}

/* Divides the check of a damaged checkpoint among 1 to 5 readers, of which exactly one must find
 * the damage. */
static void shares_cover_all_frames_once(const char *step_path) {
  static const char *const names[PARTS] = {"part-00000.zst", "part-00001.zst"};
  for (int i = 0; i < PARTS; i++) {
    rn_path path = rn_path_join(step_path, names[i]);
    unsigned char *content = NULL;
    size_t bytes = 0;
    CHECK_OK(err, rn_file_load(err, path.text, MAX_BYTES, (void **)&content, &bytes));
    for (size_t at = 0; at < bytes; at += bytes - 1) {
      content[at] ^= 1;
      write_back(path.text, content, bytes);
      content[at] ^= 1;
      for (int shares = 1; shares <= 5; shares++) {
        int noticed_by = 0;
        for (int share = 0; share < shares; share++) {
          rn_ckpt *ckpt = NULL;
          CHECK_OK(err, rn_ckpt_open(err, step_path, &ckpt));
          noticed_by += rn_ckpt_check(err, ckpt, share, shares) == RN_ERR_FORMAT;
          rn_err_clear(err);
          rn_ckpt_close(&ckpt);
        }
        CHECK_EQUAL(noticed_by, 1);
      }
    }
    write_back(path.text, content, bytes);
    free(content);
  }
}

/* In a file that is too long, all frames are valid; only its size shows the damage. The first
 * reader must check the sizes of all files. */
static void the_first_share_sees_every_size(const char *step_path) {
  const rn_path part = rn_path_join(step_path, "part-00001.zst");
  rn_file file = {0};
  CHECK_OK(err, rn_file_open(err, part.text, &file));
  const int64_t bytes = file.size_bytes;
  rn_file_destroy(&file);
  CHECK(truncate(part.text, bytes + 1) == 0);
  for (int shares = 1; shares <= 5; shares++) {
    rn_ckpt *ckpt = NULL;
    CHECK_OK(err, rn_ckpt_open(err, step_path, &ckpt));
    CHECK_FAILS(err, RN_ERR_FORMAT, "part-00001", rn_ckpt_check(err, ckpt, 0, shares));
    rn_ckpt_close(&ckpt);
  }
  CHECK(truncate(part.text, bytes) == 0);
}

int main(void) {
  const char *run = temp_path("run"), *step = temp_path("run/checkpoints/step-00000003");
  CHECK_OK(err, save(run, 3));
  damage_file(step, "manifest.pb");
  damage_file(step, "part-00000.zst");
  damage_file(step, "part-00001.zst");
  shares_cover_all_frames_once(step);
  the_first_share_sees_every_size(step);
  write_back(temp_path("run/checkpoints/step-00000003/stranger"), "", 0);
  CHECK(noticed(step, "stranger"));
  return check_result();
}
