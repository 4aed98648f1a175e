/* Checks that a line of a JSONL file that exceeds the limit is refused before it is held in memory,
 * also if it comes from a compressed file. */
#include "data/text/documents.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { LINE_BYTES = 3 << 20, LIMIT_BYTES = 2 << 20 };

static rn_err *err = &(rn_err){0};

static rn_status ignore(void *self, rn_err *unused, const rn_document_piece *piece) {
  (void)unused;
  *(size_t *)self += piece->count;
  return RN_OK;
}

static rn_status read_lines(const char *path, bool zstd, size_t limit, size_t *bytes) {
  rn_document_counts counts;
  const rn_document_format format = {
      .lines = true, .packing = zstd ? RN_PACKING_ZSTD : RN_PACKING_NONE, .max_line_bytes = limit};
  *bytes = 0;
  return rn_documents_read(err, path, format, ignore, bytes, &counts);
}

int main(void) {
  static char line[LINE_BYTES];
  static const char first[] = "{\"text\": \"a\"}\n{\"text\": \"";
  size_t bytes = 0;
  memset(line, 'b', sizeof line);
  memcpy(line, first, sizeof first - 1);
  memcpy(line + sizeof line - 3, "\"}\n", 3);
  const size_t bound = ZSTD_compressBound(sizeof line);
  void *packed = malloc(bound);
  const size_t packed_bytes = ZSTD_compress(packed, bound, line, sizeof line, 1);
  const char *plain = temp_path("lines.jsonl"), *zstd = temp_path("lines.jsonl.zst");
  CHECK_OK(err, rn_file_replace(err, plain, line, sizeof line));
  CHECK_OK(err, rn_file_replace(err, zstd, packed, packed_bytes));
  free(packed);
  CHECK_OK(err, read_lines(plain, false, 0, &bytes));
  CHECK(bytes == sizeof line - (sizeof first - 1) - 3 + 1);
  CHECK_OK(err, read_lines(zstd, true, LINE_BYTES, &bytes));
  CHECK_FAILS(err, RN_ERR_FORMAT, "lines.jsonl:2|more than 2097152 bytes",
              read_lines(plain, false, LIMIT_BYTES, &bytes));
  CHECK_FAILS(err, RN_ERR_FORMAT, "lines.jsonl.zst:2|more than 2097152 bytes",
              read_lines(zstd, true, LIMIT_BYTES, &bytes));
  return check_result();
}
