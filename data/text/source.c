#include "data/text/source.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/file/file.h"

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

/* Adds the size of a file. A walk without a visitor only measures the files. */
static rn_status measure_file(rn_err *err, const walk *w, const char *path) {
  struct stat info;
  if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: is not a regular file, so its size is unknown", path);
  }
  w->counts->read_bytes += info.st_size;
  return RN_OK;
}

/* Visits the documents of a file. A file without documents is an error if the user named it; it is
 * only counted if it was found in a folder or by a pattern. */
static rn_status visit_file(rn_err *err, const walk *w, const char *path, bool named) {
  rn_document_counts *found = &w->counts->current;
  if (w->visit == NULL) return measure_file(err, w, path);
  if (ends_with(path, ".gz")) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: gzip is not supported; unpack the file with `gunzip -k %s`, or convert it "
                   "with `gunzip -c %s | zstd -o %.*s.zst`",
                   path, path, path, (int)(strlen(path) - strlen(".gz")), path);
  }
  const rn_document_format format = {
      .lines = ends_with(path, ".jsonl") || ends_with(path, ".jsonl.zst"),
      .zstd = ends_with(path, ".zst")};
  RN_TRY(err, rn_documents_read(err, path, format, w->visit, w->self, found));
  w->counts->blank_lines += found->blank_lines;
  w->counts->read_bytes += found->stored_bytes;
  found->stored_bytes = 0;
  if (found->documents > 0 && !format.lines) count_compressed(w, path);
  if (found->documents > 0) return RN_OK;
  if (named) {
    return rn_fail(err, RN_ERR_FORMAT,
                   found->blank_lines > 0 ? "%s: only blank lines" : "%s: empty", path);
  }
  w->counts->empty_files++;
  return RN_OK;
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
  rn_document_counts found;
  const rn_document_format plain = {.lines = false};
  RN_TRY(err, rn_documents_read(err, NULL, plain, w->visit, w->self, &found));
  return found.documents > 0 ? RN_OK : rn_fail(err, RN_ERR_FORMAT, "standard input: empty");
}

rn_status rn_source_visit(rn_err *err, const char *input, const rn_source_options *options,
                          rn_document_visit *visit, void *self, rn_source_counts *counts) {
  const walk w = {options, visit, self, counts};
  if (strcmp(input, "-") == 0) return visit_stdin(err, &w);
  const bool pattern = strpbrk(input, "*?[") != NULL && !rn_file_exists(input);
  return pattern ? visit_pattern(err, &w, input) : visit_path(err, &w, input, true);
}

bool rn_source_measure(const char *input, const rn_source_options *options, int64_t *bytes) {
  rn_err ignored = {0};
  rn_source_counts counts = {0};
  if (strcmp(input, "-") == 0) return false;
  if (rn_source_visit(&ignored, input, options, NULL, NULL, &counts) != RN_OK) return false;
  *bytes += counts.read_bytes;
  return true;
}
