#include "data/run/config_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/file/blob.h"
#include "data/file/file.h"

enum { MAX_BYTES = 1 << 20 };

static const char mark_begin[] = "# Written by retnet-train; ";

void rn_config_file_mark(const char *body, size_t bytes, char *mark) {
  snprintf(mark, RN_CONFIG_MARK_BYTES, "%ssum of the rest: %016" PRIx64 "\n", mark_begin,
           rn_blob_sum(body, bytes));
}

static rn_config_file_kind kind_of_text(const char *text, size_t bytes) {
  char line[RN_CONFIG_MARK_BYTES];
  const char *end = memchr(text, '\n', bytes);
  if (end == NULL) return RN_CONFIG_FILE_FOREIGN;
  const size_t first = (size_t)(end - text) + 1;
  rn_config_file_mark(end + 1, bytes - first, line);
  if (first == strlen(line) && memcmp(text, line, first) == 0) return RN_CONFIG_FILE_OURS;
  const bool marked = strncmp(text, mark_begin, sizeof mark_begin - 1) == 0;
  return marked ? RN_CONFIG_FILE_EDITED : RN_CONFIG_FILE_FOREIGN;
}

rn_config_file_kind rn_config_file_state(rn_err *err, const char *path) {
  struct stat about;
  rn_err why = {0};
  void *text = NULL;
  size_t bytes = 0;
  if (lstat(path, &about) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return RN_CONFIG_FILE_ABSENT;
    rn_file_fail(err, "look up", path, errno);
    return RN_CONFIG_FILE_UNREADABLE;
  }
  if (!S_ISREG(about.st_mode)) return RN_CONFIG_FILE_FOREIGN;
  const rn_status status = rn_file_load(&why, path, MAX_BYTES, &text, &bytes);
  if (status == RN_ERR_FORMAT) return RN_CONFIG_FILE_FOREIGN; /* too large */
  if (status != RN_OK) {
    rn_fail(err, status, "%s", why.text);
    return RN_CONFIG_FILE_UNREADABLE;
  }
  const rn_config_file_kind kind = kind_of_text(text, bytes);
  free(text);
  return kind;
}
