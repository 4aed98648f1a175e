/* Checks that a safetensors file with arbitrary bytes is either read or refused with a message
 * that names the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/exchange/safetensors.h"
#include "data/file/file.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { ROUNDS = 5000, MAX_BYTES = 4096 };

static rn_err *err = &(rn_err){0};

static void write_sample(const char *path) {
  static const float values[12] = {1, 2, 3};
  const rn_safetensors_tensor tensors[] = {
      {.name = "embed_tokens.weight", .type = RN_SAFETENSORS_F32, .dims = 2, .shape = {3, 2}},
      {.name = "numbers", .type = RN_SAFETENSORS_I64, .dims = 1, .shape = {2}},
      {.name = "scalar", .type = RN_SAFETENSORS_F64, .dims = 0}};
  const rn_safetensors_note note = {"config", "{\"dim\": 4}"};
  rn_safetensors_writer *writer = NULL;
  CHECK_OK(err, rn_safetensors_create(err, path, &(rn_safetensors_header){tensors, 3, &note, 1},
                                      &writer));
  CHECK_OK(err, rn_safetensors_append(err, writer, values, sizeof values));
  CHECK_OK(err, rn_safetensors_finish(err, &writer));
}

static bool survives(const char *path) {
  rn_err why = {0};
  rn_safetensors *file = NULL;
  if (rn_safetensors_open(&why, path, &file) != RN_OK) return strstr(why.text, path) != NULL;
  bool sound = true;
  for (int i = 0; i < rn_safetensors_count(file); i++) {
    const rn_safetensors_tensor *tensor = rn_safetensors_at(file, i);
    double values[8];
    int64_t count = tensor->count < 8 ? tensor->count : 8;
    rn_err_clear(&why);
    rn_status status =
        rn_safetensors_read_f64(&why, file, tensor, tensor->count - count, count, values);
    sound &= (status == RN_OK) == (why.text[0] == '\0');
    sound &= rn_safetensors_find(file, tensor->name) == tensor;
  }
  rn_safetensors_metadata(file, "config");
  rn_safetensors_close(&file);
  return sound;
}

int main(void) {
  const char *path = temp_path("fuzzed");
  static unsigned char work[MAX_BYTES];
  void *content = NULL;
  size_t bytes = 0;
  write_sample(path);
  CHECK_OK(err, rn_file_load(err, path, MAX_BYTES, &content, &bytes));
  CHECK(survives(path));
  for (uint64_t seed = 0; seed < ROUNDS; seed++) {
    rn_file file = {0};
    memcpy(work, content, bytes);
    size_t size = mutate(work, bytes, MAX_BYTES, seed);
    CHECK_OK(err, rn_file_create(err, path, &file));
    CHECK_OK(err, rn_file_write(err, &file, 0, work, size));
    CHECK_OK(err, rn_file_close(err, &file));
    if (!CHECK(survives(path))) fprintf(stderr, "seed %d\n", (int)seed);
  }
  free(content);
  return check_result();
}
