/* Fuzzes the reader of JSON lines, plain or compressed with zstd. */
#include "data/text/documents.h"
#include "tests/fuzz/target.h"

static rn_status take(void *self, rn_err *err, const rn_document_piece *piece) {
  (void)err;
  for (size_t i = 0; i < piece->count; i++) *(unsigned *)self += (unsigned char)piece->bytes[i];
  return RN_OK;
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  rn_document_counts counts;
  unsigned sum = 0;
  const bool zstd = bytes >= 2 && data[0] == 0x28 && data[1] == 0xb5;
  const rn_document_format format = {.lines = true,
                                     .packing = zstd ? RN_PACKING_ZSTD : RN_PACKING_NONE,
                                     .max_line_bytes = 1 << 22};
  return target_is_ok(
      rn_documents_read(&err, target_file(data, bytes), format, take, &sum, &counts), &err);
}
