/* Fuzzes the reader of JSON lines, plain or compressed with zstd. Lines that are read in pieces
 * must give the same as lines that are held in memory. */
#include <string.h>

#include "data/text/documents.h"
#include "tests/fuzz/target.h"

/* Computes a hash of the texts and of the positions at which documents end. */
static rn_status take(void *self, rn_err *err, const rn_document_piece *piece) {
  (void)err;
  unsigned *sum = self;
  for (size_t i = 0; i < piece->count; i++) *sum = 31 * *sum + (unsigned char)piece->bytes[i];
  if (piece->ends) *sum = 31 * *sum + 256;
  return RN_OK;
}

static bool read_lines(rn_err *err, const char *path, rn_document_format format, unsigned *sum) {
  rn_document_counts counts;
  return target_is_ok(rn_documents_read(err, path, format, take, sum, &counts), err);
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0}, err_long = {0};
  unsigned sum = 0, sum_long = 0;
  const char *path = target_file(data, bytes);
  const bool zstd = bytes >= 2 && data[0] == 0x28 && data[1] == 0xb5;
  rn_document_format format = {.lines = true,
                               .packing = zstd ? RN_PACKING_ZSTD : RN_PACKING_NONE,
                               .held_line_bytes = 1 << 22};
  const bool good = read_lines(&err, path, format, &sum);
  format.held_line_bytes = 1;
  const bool good_long = read_lines(&err_long, path, format, &sum_long);
  if (strstr(err_long.text, "several fields") != NULL) return good;
  target_require(good == good_long, "a line read in pieces is valid if and only if the line is");
  target_require(!good || sum == sum_long, "a line read in pieces has the same text");
  return good;
}
