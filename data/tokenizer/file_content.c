#include "data/tokenizer/file_content.h"

#include <stdlib.h>
#include <string.h>

#include "data/file/json_text.h"
#include "data/file/stream.h"

rn_status rn_tokenizer_load(rn_err *err, const char *path, rn_content_kind wanted,
                            Retnet__Tokenizer *file) {
  void *bytes = NULL;
  const size_t max_bytes = (size_t)1 << 28;
  RN_TRY(err, rn_stream_load(err, path, max_bytes, &bytes, &file->content.len));
  file->content.data = bytes;
  const char *slash = strrchr(path, '/');
  file->file_name = strdup(slash != NULL ? slash + 1 : path);
  if (file->file_name == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", path);
  if (file->content.len == 0) return rn_fail(err, RN_ERR_FORMAT, "%s: is empty", path);
  return rn_content_check(err, path, bytes, file->content.len, wanted);
}

rn_status rn_tokenizer_parse(rn_err *err, const char *where, const void *bytes, size_t count,
                             json_t **out) {
  json_error_t reason;
  bool no_memory;
  *out = rn_json_parse(bytes, count, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &reason, &no_memory);
  if (*out != NULL) return RN_OK;
  if (no_memory) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", where);
  return rn_fail(err, RN_ERR_FORMAT, "%s:%d: invalid JSON: %s", where, reason.line, reason.text);
}

rn_status rn_tokenizer_fail_at(rn_err *err, const char *where, const rn_err *inner) {
  return rn_fail(err, inner->status, "%s: %s", where, inner->text);
}
