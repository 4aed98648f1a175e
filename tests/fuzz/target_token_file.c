/* Fuzzes the readers of token files of other programs. The first byte of the input names the
 * format: 'n' nanoGPT, 'l' llm.c, 'm' Megatron-LM. In the last case, the number of bytes of the
 * index (u16) and the index follow. The rest is the file of tokens. */
#include <string.h>

#include "data/file/little_endian.h"
#include "data/tokens/token_file.h"
#include "tests/fuzz/target.h"

enum { VOCABULARY = 300 };

static rn_status check_ids(void *self, rn_err *err, const int32_t *id, size_t count, bool begins) {
  (void)self;
  (void)err;
  (void)begins;
  for (size_t i = 0; i < count; i++) {
    target_require(0 <= id[i] && id[i] < VOCABULARY, "ids are in the vocabulary");
  }
  return RN_OK;
}

static bool read_as(rn_token_format format, const char *path) {
  rn_err err = {0};
  int64_t read_bytes = 0;
  const rn_token_rules rules = {
      .vocabulary = VOCABULARY, .tokenizer = "test", .separator = 7, .document = 8};
  rn_token_format detected;
  target_require(rn_token_file_format(&err, path, &detected) == RN_OK, "the format is determined");
  const bool accepted =
      target_is_ok(rn_token_file_read(&err, path, format, false, &rules,
                                      (rn_token_visitor){check_ids, NULL, &read_bytes}),
                   &err);
  target_require(accepted || strstr(err.text, "fuzzed.") != NULL, "a message names the file");
  return accepted;
}

bool target_run(const uint8_t *data, size_t bytes) {
  if (bytes == 0) return false;
  const char kind = (char)data[0];
  data++, bytes--;
  if (kind != 'm') {
    const char *path = target_path("fuzzed.bin");
    target_write(path, data, bytes);
    return read_as(kind == 'n' ? RN_FORMAT_NANOGPT : RN_FORMAT_LLMC, path);
  }
  if (bytes < 2) return false;
  const size_t index = rn_get_bytes(data, 2) < bytes - 2 ? rn_get_bytes(data, 2) : bytes - 2;
  target_write(target_path("fuzzed.idx"), data + 2, index);
  target_write(target_path("fuzzed.bin"), data + 2 + index, bytes - 2 - index);
  return read_as(RN_FORMAT_MEGATRON, target_path("fuzzed.bin"));
}
