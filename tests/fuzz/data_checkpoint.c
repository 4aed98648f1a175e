/* Checks that a manifest with a correct checksum but arbitrary contents is either read or
 * refused, and that every number in it is checked before it is used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/blob.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

enum { ROUNDS = 3000, MAX_BYTES = 1 << 16, TRAILER_BYTES = 24 };

static rn_err *err = &(rn_err){0};

static void write_manifest(const char *path, unsigned char *data, size_t bytes,
                           const unsigned char *magic) {
  uint64_t length = bytes, sum = rn_blob_sum(data, bytes);
  rn_file file = {0};
  memcpy(data + bytes, magic, 8);
  memcpy(data + bytes + 8, &length, 8);
  memcpy(data + bytes + 16, &sum, 8);
  CHECK_OK(err, rn_file_create(err, path, &file));
  CHECK_OK(err, rn_file_write(err, &file, 0, data, bytes + TRAILER_BYTES));
  CHECK_OK(err, rn_file_close(err, &file));
}

/* If the checkpoint opens, reading the last elements of each tensor must either succeed or fail
 * with a message. If it does not open, there must be a message too. */
static bool survives(const char *step_path) {
  rn_err why = {0};
  rn_ckpt *ckpt = NULL;
  if (rn_ckpt_open(&why, step_path, &ckpt) != RN_OK) return why.text[0] != '\0';
  const Retnet__Manifest *manifest = rn_ckpt_manifest(ckpt);
  bool named = manifest->config->run != NULL && manifest->vocabulary != NULL;
  rn_status status = rn_ckpt_verify(&why, ckpt);
  named &= (status == RN_OK) == (why.text[0] == '\0');
  for (size_t i = 0; i < manifest->n_tensor; i++) {
    const Retnet__Tensor *tensor = manifest->tensor[i];
    float values[8];
    int64_t elements = rn_ckpt_elements(tensor), count = elements < 8 ? elements : 8;
    rn_err_clear(&why);
    status = rn_ckpt_read(&why, ckpt, tensor->kind, tensor->name,
                          (rn_range){elements - count, elements - count + count}, values);
    named &= (status == RN_OK) == (why.text[0] == '\0');
  }
  rn_ckpt_close(&ckpt);
  return named;
}

int main(void) {
  const char *run = temp_path("run"), *step = temp_path("run/checkpoints/step-00000001");
  static unsigned char work[MAX_BYTES + TRAILER_BYTES];
  rn_path path = rn_path_join(step, "manifest.pb");
  void *content = NULL;
  size_t size = 0;
  CHECK_OK(err, fake_save(err, run, 1, 1, 2, 1));
  CHECK_OK(err, rn_file_load(err, path.text, MAX_BYTES, &content, &size));
  size_t bytes = size - TRAILER_BYTES;
  const unsigned char *magic = (const unsigned char *)content + bytes;
  for (uint64_t seed = 0; seed < ROUNDS; seed++) {
    memcpy(work, content, bytes);
    write_manifest(path.text, work, mutate(work, bytes, MAX_BYTES, seed), magic);
    if (!CHECK(survives(step))) fprintf(stderr, "seed %d\n", (int)seed);
  }
  memcpy(work, content, bytes);
  write_manifest(path.text, work, bytes, magic);
  CHECK(survives(step));
  free(content);
  return check_result();
}
