#include "data/text/source.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zstd.h>

#include "data/file/file.h"
#include "data/file/stream.h"

static const size_t max_bytes = (size_t)1 << 36;

/* Arguments of the walk over one input. */
typedef struct walk {
  const rn_source_options *options;
  rn_document_visit *visit;
  void *self;
  rn_source_counts *counts;
} walk;

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcasecmp(text + length - tail, end) == 0;
}

/* Unpacks all frames of a .zst file. */
static rn_status unpack(rn_err *err, const char *path, void **bytes, size_t *count) {
  ZSTD_DCtx *stream = ZSTD_createDCtx();
  ZSTD_inBuffer in = {*bytes, *count, 0};
  ZSTD_outBuffer out = {NULL, 0, 0};
  rn_status status = RN_OK;
  size_t left = 1;
  if (stream == NULL)
    status = rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while decompressing it", path);
  while (status == RN_OK && (in.pos < in.size || out.pos == out.size)) {
    if (out.pos == out.size) {
      size_t capacity = out.size > 0 ? 2 * out.size : 1 << 16;
      void *grown = capacity <= max_bytes ? realloc(out.dst, capacity) : NULL;
      if (grown == NULL) {
        status = rn_fail(err, RN_ERR_MEMORY, "%s: too large to decompress", path);
        break;
      }
      out.dst = grown;
      out.size = capacity;
    }
    left = ZSTD_decompressStream(stream, &out, &in);
    if (ZSTD_isError(left)) status = rn_fail(err, RN_ERR_FORMAT, "%s: damaged zstd data", path);
    if (in.pos == in.size && out.pos < out.size) break;
  }
  if (status == RN_OK && left != 0) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: its zstd data is truncated", path);
  }
  ZSTD_freeDCtx(stream);
  free(*bytes);
  *bytes = out.dst;
  *count = out.pos;
  return status;
}

static const char *kind_of(const json_t *value) {
  static const char *const kinds[] = {
      [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
      [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
      [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
  return kinds[json_typeof(value)];
}

/* Visits the document of one parsed line. */
static rn_status visit_object(rn_err *err, const walk *w, const char *name, const json_t *object) {
  if (!json_is_object(object)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: is %s; it must be an object with a \"text\" field",
                   name, kind_of(object));
  }
  const json_t *text = json_object_get(object, "text");
  if (text == NULL) return rn_fail(err, RN_ERR_FORMAT, "%s: has no \"text\" field", name);
  if (!json_is_string(text)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: \"text\" is %s, not a string", name, kind_of(text));
  }
  return w->visit(w->self, err, name, json_string_value(text), json_string_length(text));
}

static rn_status visit_line(rn_err *err, const walk *w, const char *path, int64_t number,
                            const char *line, size_t length) {
  char name[RN_PATH_BYTES + 32];
  json_error_t reason;
  snprintf(name, sizeof name, "%s:%lld", path, (long long)number);
  json_t *object =
      json_loadb(line, length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY, &reason);
  if (object == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: invalid JSON: %s", name, reason.text);
  }
  const rn_status status = visit_object(err, w, name, object);
  json_decref(object);
  return status;
}

static bool is_blank(const char *line, size_t length) {
  size_t at = 0;
  while (at < length && strchr(" \t\r", line[at]) != NULL && line[at] != '\0') at++;
  return at == length;
}

/* Visits each line of a .jsonl; adds the number of documents to *documents. */
static rn_status visit_lines(rn_err *err, const walk *w, const char *path, const char *bytes,
                             size_t count, int64_t *documents) {
  static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
  const size_t start = count >= 3 && memcmp(bytes, mark, 3) == 0 ? 3 : 0;
  int64_t number = 0;
  for (size_t at = start; at < count;) {
    const char *end = memchr(bytes + at, '\n', count - at);
    const size_t length = end != NULL ? (size_t)(end - bytes) - at : count - at;
    number++;
    if (is_blank(bytes + at, length)) {
      w->counts->blank_lines++;
    } else {
      RN_TRY(err, visit_line(err, w, path, number, bytes + at, length));
      (*documents)++;
    }
    at += length + 1;
  }
  return RN_OK;
}

/* A compressed file of another format is read as plain bytes, but counted for a warning. */
static void count_compressed(const walk *w, const char *path) {
  static const char *const ends[] = {".bz2", ".xz", ".lzma", ".lz4", ".lz",     ".br",
                                     ".zip", ".7z", ".rar",  ".tgz", ".parquet"};
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    if (!ends_with(path, ends[i])) continue;
    if (w->counts->compressed++ == 0) {
      snprintf(w->counts->first_compressed, sizeof w->counts->first_compressed, "%s", path);
    }
  }
}

/* Visits the documents of a file's bytes. A file without documents is an error if the user named
 * it; it is only counted if it was found in a folder or by a pattern. */
static rn_status visit_bytes(rn_err *err, const walk *w, const char *path, const char *bytes,
                             size_t count, bool named) {
  int64_t documents = 0;
  if (ends_with(path, ".jsonl") || ends_with(path, ".jsonl.zst")) {
    RN_TRY(err, visit_lines(err, w, path, bytes, count, &documents));
  } else if (count > 0) {
    count_compressed(w, path);
    RN_TRY(err, w->visit(w->self, err, path, bytes, count));
    documents = 1;
  }
  if (documents > 0) return RN_OK;
  if (named) {
    return rn_fail(err, RN_ERR_FORMAT, count > 0 ? "%s: only blank lines" : "%s: empty", path);
  }
  w->counts->empty_files++;
  return RN_OK;
}

static rn_status visit_file(rn_err *err, const walk *w, const char *path, bool named) {
  void *bytes = NULL;
  size_t count = 0;
  if (ends_with(path, ".gz")) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: gzip is not supported; unpack the file with `gunzip -k %s`, or convert it "
                   "with `gunzip -c %s | zstd -o %.*s.zst`",
                   path, path, path, (int)(strlen(path) - strlen(".gz")), path);
  }
  RN_TRY(err, rn_stream_load(err, path, max_bytes, &bytes, &count));
  rn_status status = RN_OK;
  if (count > 0 && ends_with(path, ".zst")) status = unpack(err, path, &bytes, &count);
  if (status == RN_OK) status = visit_bytes(err, w, path, bytes, count, named);
  free(bytes);
  return status;
}

/* True if the file's name, with or without .zst, matches the pattern. */
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
  RN_TRY(err, rn_listing_make(err, path, w->options->excluded, w->options->excluded_count, &files));
  rn_status status = RN_OK;
  for (size_t i = 0; status == RN_OK && i < files.count; i++) {
    if (!is_included(w->options->include, files.path[i])) {
      w->counts->not_included++;
      continue;
    }
    status = visit_file(err, w, files.path[i], false);
  }
  w->counts->left_out += files.left_out;
  rn_listing_free(&files);
  return status;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Visits a path that the user named (`named`) or that a pattern matched. */
static rn_status visit_path(rn_err *err, const walk *w, const char *path, bool named) {
  struct stat info;
  const bool there = stat(path, &info) == 0;
  if (there && S_ISDIR(info.st_mode)) return visit_folder(err, w, path);
  if ((there && S_ISREG(info.st_mode)) || named) return visit_file(err, w, path, named);
  w->counts->left_out++;
  return RN_OK;
}

/* Visits the files that a pattern matches, in byte order. Patterns get here if the user quotes
 * them, for example because their expansion would be too long for the shell. */
static rn_status visit_pattern(rn_err *err, const walk *w, const char *pattern) {
  glob_t found;
  rn_status status = RN_OK;
  switch (glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &found)) {
    case 0:
      break;
    case GLOB_NOMATCH:
      return rn_fail(err, RN_ERR_NOT_FOUND,
                     "%s: no such file, and no file name matches this pattern", pattern);
    default:
      return rn_fail(err, RN_ERR_IO, "%s: cannot read a folder while expanding this pattern",
                     pattern);
  }
  qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
  for (size_t i = 0; status == RN_OK && i < found.gl_pathc; i++) {
    status = visit_path(err, w, found.gl_pathv[i], false);
  }
  globfree(&found);
  return status;
}

static rn_status visit_stdin(rn_err *err, const walk *w) {
  void *bytes = NULL;
  size_t count = 0;
  RN_TRY(err, rn_stream_load(err, NULL, max_bytes, &bytes, &count));
  rn_status status = count > 0 ? w->visit(w->self, err, "standard input", bytes, count)
                               : rn_fail(err, RN_ERR_FORMAT, "standard input: empty");
  free(bytes);
  return status;
}

rn_status rn_source_visit(rn_err *err, const char *input, const rn_source_options *options,
                          rn_document_visit *visit, void *self, rn_source_counts *counts) {
  const walk w = {options, visit, self, counts};
  if (strcmp(input, "-") == 0) return visit_stdin(err, &w);
  const bool pattern = strpbrk(input, "*?[") != NULL && !rn_file_exists(input);
  return pattern ? visit_pattern(err, &w, input) : visit_path(err, &w, input, true);
}
