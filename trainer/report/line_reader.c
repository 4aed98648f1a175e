#include "trainer/report/line_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/file/file.h"
#include "proto/base/arena.h"

struct rn_line_reader {
  rn_path path;
  FILE *file;
  size_t max_bytes;
  char buffer[]; /* [max_bytes] */
};

rn_status rn_line_reader_open(rn_err *err, const char *path, size_t max_bytes,
                              rn_line_reader **out) {
  rn_file file = {0};
  RN_TRY(err, rn_alloc(err, "a line", sizeof **out + max_bytes, 1, out));
  rn_status status = rn_file_open(err, path, &file); /* opens without blocking on a pipe */
  if (status == RN_OK) {
    const int fd = dup(file.fd);
    (*out)->file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if ((*out)->file == NULL) status = rn_file_fail(err, "open", path, errno);
    if ((*out)->file == NULL && fd >= 0) close(fd);
  }
  rn_file_destroy(&file);
  (*out)->max_bytes = max_bytes;
  snprintf((*out)->path.text, sizeof(*out)->path.text, "%s", path);
  if (status != RN_OK) rn_line_reader_close(out);
  return status;
}

rn_status rn_line_reader_next(rn_err *err, rn_line_reader *reader, rn_line_text *out) {
  size_t count = 0;
  int c;
  while ((c = getc_unlocked(reader->file)) != EOF && c != '\n') {
    if (count < reader->max_bytes) reader->buffer[count] = (char)c;
    count++;
  }
  if (ferror(reader->file)) return rn_file_fail(err, "read", reader->path.text, errno);
  const bool whole = count <= reader->max_bytes;
  *out = (rn_line_text){.bytes = c == EOF && count == 0 ? NULL : reader->buffer,
                        .count = whole ? count : reader->max_bytes,
                        .whole = whole};
  return RN_OK;
}

void rn_line_reader_close(rn_line_reader **reader) {
  if (*reader != NULL && (*reader)->file != NULL) fclose((*reader)->file);
  free(*reader);
  *reader = NULL;
}
