/* No bit of a checkpoint can change, no byte vanish and no file appear without verify naming it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/ckpt.h"
#include "data/file.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

enum { PARTS = 2, MOST_BYTES = 1 << 20 };

static rn_err *err = &(rn_err){0};

static rn_status verify(const char *step_path) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_open(err, step_path, &ckpt));
  rn_status status = rn_ckpt_verify(err, ckpt);
  rn_ckpt_close(&ckpt);
  return status;
}

/* Failing, and in words that hold the file's name. */
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
  CHECK_OK(err, rn_file_load(err, path.text, MOST_BYTES, &content, &bytes));
  CHECK_EQUAL(flips_missed(step_path, name, content, bytes), 0);
  CHECK_OK(err, verify(step_path));
  CHECK_EQUAL(cuts_missed(step_path, name, content, bytes), 0);
  write_back(path.text, content, bytes);
  CHECK_OK(err, verify(step_path));
  free(content);
}

int main(void) {
  const char *run = temp_path("run"), *step = temp_path("run/checkpoints/step-00000003");
  CHECK_OK(err, fake_save(err, run, 3, 5, PARTS, 1));
  damage_file(step, "manifest.pb");
  damage_file(step, "part-00000.zst");
  damage_file(step, "part-00001.zst");
  write_back(temp_path("run/checkpoints/step-00000003/stranger"), "", 0);
  CHECK(noticed(step, "stranger"));
  return check_result();
}
