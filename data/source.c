#include "data/source.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "data/file.h"
#include "data/listing.h"

static const size_t most_bytes = (size_t)1 << 36;

/* What a walk over one input carries. */
typedef struct walk {
  const char *include;
  rn_document_visit *visit;
  void *self;
  int64_t *skipped;
} walk;

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Unpacks all frames of a .zst file. */
static rn_status unpack(rn_err *err, const char *path, void **bytes, size_t *count) {
  ZSTD_DCtx *stream = ZSTD_createDCtx();
  ZSTD_inBuffer in = {*bytes, *count, 0};
  ZSTD_outBuffer out = {NULL, 0, 0};
  rn_status status = RN_OK;
  size_t left = 1;
  while (status == RN_OK && (in.pos < in.size || out.pos == out.size)) {
    if (out.pos == out.size) {
      size_t room = out.size > 0 ? 2 * out.size : 1 << 16;
      void *grown = room <= most_bytes ? realloc(out.dst, room) : NULL;
      if (grown == NULL) {
        status = rn_fail(err, RN_ERR_MEMORY, "%s: too large to unpack", path);
        break;
      }
      out.dst = grown;
      out.size = room;
    }
    left = ZSTD_decompressStream(stream, &out, &in);
    if (ZSTD_isError(left)) status = rn_fail(err, RN_ERR_FORMAT, "%s: damaged zstd data", path);
    if (in.pos == in.size && out.pos < out.size) break;
  }
  if (status == RN_OK && left != 0) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: zstd data cut short", path);
  }
  ZSTD_freeDCtx(stream);
  free(*bytes);
  *bytes = out.dst;
  *count = out.pos;
  return status;
}

static rn_status visit_line(rn_err *err, const walk *w, const char *path, int64_t number,
                            const char *line, size_t length) {
  char name[RN_PATH_BYTES + 32];
  json_error_t reason;
  snprintf(name, sizeof name, "%s:%lld", path, (long long)number);
  json_t *object = json_loadb(line, length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &reason);
  if (object == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: no JSON: %s", name, reason.text);
  }
  const json_t *text = json_object_get(object, "text");
  rn_status status;
  if (!json_is_string(text)) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: no \"text\" in it", name);
  } else {
    status = w->visit(w->self, err, name, json_string_value(text), json_string_length(text));
  }
  json_decref(object);
  return status;
}

static rn_status visit_lines(rn_err *err, const walk *w, const char *path, const char *bytes,
                             size_t count) {
  int64_t number = 0;
  for (size_t at = 0; at < count;) {
    const char *end = memchr(bytes + at, '\n', count - at);
    const size_t length = end != NULL ? (size_t)(end - bytes) - at : count - at;
    RN_TRY(err, visit_line(err, w, path, ++number, bytes + at, length));
    at += length + 1;
  }
  return RN_OK;
}

/* An empty file is an error where it was named, and counted where it was found. */
static rn_status visit_file(rn_err *err, const walk *w, const char *path, bool named) {
  void *bytes = NULL;
  size_t count = 0;
  RN_TRY(err, rn_file_load(err, path, most_bytes, &bytes, &count));
  rn_status status = RN_OK;
  if (count > 0 && ends_with(path, ".zst")) status = unpack(err, path, &bytes, &count);
  if (status == RN_OK && count > 0) {
    const bool lines = ends_with(path, ".jsonl") || ends_with(path, ".jsonl.zst");
    status = lines ? visit_lines(err, w, path, bytes, count)
                   : w->visit(w->self, err, path, bytes, count);
  } else if (status == RN_OK && named) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: empty", path);
  } else if (status == RN_OK) {
    (*w->skipped)++;
  }
  free(bytes);
  return status;
}

/* The pattern is that of the name, with or without .zst. */
static bool is_included(const char *include, const char *path) {
  char name[RN_PATH_BYTES];
  const char *slash = strrchr(path, '/');
  snprintf(name, sizeof name, "%s", slash != NULL ? slash + 1 : path);
  if (include == NULL || fnmatch(include, name, 0) == 0) return true;
  if (!ends_with(name, ".zst")) return false;
  name[strlen(name) - strlen(".zst")] = '\0';
  return fnmatch(include, name, 0) == 0;
}

static rn_status visit_folder(rn_err *err, const walk *w, const char *path) {
  rn_listing files;
  RN_TRY(err, rn_listing_make(err, path, &files));
  rn_status status = RN_OK;
  for (size_t i = 0; status == RN_OK && i < files.count; i++) {
    if (is_included(w->include, files.path[i])) status = visit_file(err, w, files.path[i], false);
  }
  rn_listing_free(&files);
  return status;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What a path that was given, or found by a pattern, stands for. */
static rn_status visit_path(rn_err *err, const walk *w, const char *path, bool named) {
  struct stat info;
  if (stat(path, &info) != 0) {
    return rn_fail(err, RN_ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
  }
  return S_ISDIR(info.st_mode) ? visit_folder(err, w, path) : visit_file(err, w, path, named);
}

/* What a pattern matches, in byte order: for those who quote it, or whose shell gives up. */
static rn_status visit_pattern(rn_err *err, const walk *w, const char *pattern) {
  glob_t found;
  rn_status status = RN_OK;
  switch (glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &found)) {
    case 0:
      break;
    case GLOB_NOMATCH:
      return rn_fail(err, RN_ERR_NOT_FOUND, "%s: no such file, and no name matches it", pattern);
    default:
      return rn_fail(err, RN_ERR_IO, "%s: the folders of the pattern cannot be read", pattern);
  }
  qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
  for (size_t i = 0; status == RN_OK && i < found.gl_pathc; i++) {
    status = visit_path(err, w, found.gl_pathv[i], false);
  }
  globfree(&found);
  return status;
}

static rn_status visit_stdin(rn_err *err, const walk *w) {
  char *bytes = NULL;
  size_t count = 0, room = 0;
  for (;;) {
    if (count == room) {
      room = room > 0 ? 2 * room : 1 << 16;
      char *grown = realloc(bytes, room);
      if (grown == NULL) {
        free(bytes);
        return rn_fail(err, RN_ERR_MEMORY, "standard input is too large");
      }
      bytes = grown;
    }
    const size_t got = fread(bytes + count, 1, room - count, stdin);
    if (got == 0) break;
    count += got;
  }
  rn_status status = count > 0 ? w->visit(w->self, err, "standard input", bytes, count)
                               : rn_fail(err, RN_ERR_FORMAT, "standard input: empty");
  free(bytes);
  return status;
}

rn_status rn_source_visit(rn_err *err, const char *input, const char *include,
                          rn_document_visit *visit, void *self, int64_t *skipped) {
  const walk w = {include, visit, self, skipped};
  if (strcmp(input, "-") == 0) return visit_stdin(err, &w);
  const bool pattern = strpbrk(input, "*?[") != NULL && !rn_file_exists(input);
  return pattern ? visit_pattern(err, &w, input) : visit_path(err, &w, input, true);
}
