/* Checks that a model directory of another program, in which one file contains arbitrary bytes, is
 * either imported or refused with a reason. */
#include "trainer/exchange/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/model_ckpt.h"
#include "tests/support/temp.h"

enum { ROUNDS = 400, MAX_BYTES = 1 << 16 };

static rn_err *err = &(rn_err){0};

/* Imports the folder many times, each time with another mutation of the file `name`. The other
 * files are unchanged. */
static void every_mutation_is_survived(const char *folder, const char *name) {
  static unsigned char work[MAX_BYTES];
  const rn_path path = rn_path_join(folder, name);
  const char *ckpt = temp_path("imported");
  FILE *out = fopen("/dev/null", "w");
  void *content = NULL;
  size_t bytes = 0;
  int imported = 0;
  if (!CHECK_OK(err, rn_file_load(err, path.text, MAX_BYTES, &content, &bytes))) return;
  for (uint64_t seed = 0; seed < ROUNDS; seed++) {
    rn_file file = {0};
    rn_err why = {0};
    memcpy(work, content, bytes);
    const size_t size = seed == 0 ? bytes : mutate(work, bytes, MAX_BYTES, seed);
    CHECK_OK(err, rn_file_create(err, path.text, &file));
    CHECK_OK(err, rn_file_write(err, &file, 0, work, size));
    CHECK_OK(err, rn_file_close(err, &file));
    const rn_status status = rn_import(&why, folder, ckpt, out);
    if (!CHECK((status == RN_OK) == (why.text[0] == '\0')) || !CHECK(status != RN_ERR_USAGE) ||
        !CHECK((status == RN_OK) == rn_file_exists(ckpt))) {
      fprintf(stderr, "%s, seed %d: %s\n", name, (int)seed, why.text);
    }
    imported += status == RN_OK;
    if (status == RN_OK) CHECK_OK(err, rn_file_remove_tree(err, ckpt));
  }
  CHECK(imported > 0);
  CHECK_OK(err, rn_file_replace(err, path.text, content, bytes));
  free(content);
  fclose(out);
}

int main(void) {
  const char *run = model_ckpt_save(
      "run", (model_ckpt){{"model.layers=1", "model.dim=4", "model.value_dim=4", "model.ffn_dim=2",
                           "model.heads=2", "model.rotary=rope_half", "model.retention_scale=raw"},
                          2,
                          1,
                          0,
                          false,
                          0});
  const rn_export_options whole = {.format = RN_EXPORT_HF, .dtype = RN_SAFETENSORS_F32};
  const rn_export_options shards = {
      .format = RN_EXPORT_HF, .dtype = RN_SAFETENSORS_F32, .shard_bytes = 256};
  CHECK_OK(err, rn_export(err, run, temp_path("whole"), &whole));
  CHECK_OK(err, rn_export(err, run, temp_path("shards"), &shards));
  every_mutation_is_survived(temp_path("whole"), "config.json");
  every_mutation_is_survived(temp_path("whole"), "model.safetensors");
  every_mutation_is_survived(temp_path("shards"), "model.safetensors.index.json");
  return check_result();
}
