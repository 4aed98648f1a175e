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
#include "data/shard/shard_frame.h"

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

/* Counts a file whose compression is not supported, for a warning; it is read as plain bytes. */
static void count_compressed(const walk *w, const char *path) {
  static const char *const ends[] = {".bz2", ".xz",  ".lzma", ".lz4", ".lz",
                                     ".br",  ".zip", ".7z",   ".rar", ".tgz"};
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    if (!ends_with(path, ends[i])) continue;
    if (w->counts->compressed++ == 0) {
      snprintf(w->counts->first_compressed, sizeof w->counts->first_compressed, "%s", path);
    }
  }
}

/* Sets *is to true if the name of a regular file ends with `end`, and if the file has these four
 * bytes at `offset`. */
static rn_status has_magic(rn_err *err, const char *path, const char *end, int64_t offset,
                           const char magic[5], bool *is) {
  char head[4] = "";
  bool regular;
  rn_file file = {0};
  *is = false;
  if (!ends_with(path, end)) return RN_OK;
  RN_TRY(err, rn_file_find_regular(err, path, &regular));
  if (!regular) return RN_OK;
  RN_TRY(err, rn_file_open(err, path, &file));
  rn_status status = RN_OK;
  if (file.size_bytes >= offset + (int64_t)sizeof head)
    status = rn_file_read(err, &file, offset, head, sizeof head);
  rn_file_destroy(&file);
  *is = memcmp(head, magic, sizeof head) == 0;
  return status;
}

/* Fails for Parquet files and for shards of retnet-data, which are not text; unless --format says
 * that they are. */
static rn_status refuse_binary(rn_err *err, const walk *w, const char *path) {
  const rn_token_inputs *tokens = w->options->tokens;
  bool is;
  if (tokens != NULL && tokens->format != RN_FORMAT_AUTO) return RN_OK;
  RN_TRY(err, has_magic(err, path, ".parquet", 0, "PAR1", &is));
  if (is) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: Parquet is not supported; convert its text column to JSON lines, for example with "
        "python3 -c \"import pandas; pandas.read_parquet('%s', columns=['text'])"
        ".to_json('%.*s.jsonl', orient='records', lines=True)\"",
        path, path, (int)(strlen(path) - strlen(".parquet")), path);
  }
  RN_TRY(err, has_magic(err, path, ".rtd", RN_FRAME_HEAD_BYTES, "RTDH", &is));
  if (!is) RN_TRY(err, has_magic(err, path, ".rtd.tmp", RN_FRAME_HEAD_BYTES, "RTDH", &is));
  if (!is) return RN_OK;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s is a shard that retnet-data has written, not text; name other files, or select "
      "them in the folder, for example with --include '*.txt'",
      path);
}

/* Adds the size of a file to the counts. A walk without a visitor calls this instead of reading the
 * file. */
static rn_status measure_file(rn_err *err, const walk *w, const char *path) {
  struct stat info;
  rn_token_format format;
  const int error = stat(path, &info) == 0 ? 0 : errno;
  if (error != 0 && !rn_file_leads_nowhere(error)) return rn_file_fail(err, "look up", path, error);
  if (error != 0 || !S_ISREG(info.st_mode)) {
    w->counts->unmeasured++;
    return RN_OK;
  }
  RN_TRY(err, refuse_binary(err, w, path));
  w->counts->read_bytes += info.st_size;
  if (w->counts->llmc_bytes != 0 || w->options->tokens == NULL) return RN_OK;
  RN_TRY(err, rn_token_inputs_format(err, w->options->tokens, path, &format));
  if (format != RN_FORMAT_LLMC) return RN_OK;
  return rn_token_file_llmc_bytes(err, path, &w->counts->llmc_bytes);
}

static rn_status take_ids(void *self, rn_err *err, const int32_t *id, size_t count, bool begins) {
  const walk *w = self;
  w->counts->current.documents += begins;
  return w->visit(w->self, err, &(rn_document_piece){.count = count, .begins = begins, .id = id});
}

static rn_status read_tokens(rn_err *err, const walk *w, const char *path, rn_token_format format) {
  rn_document_counts *found = &w->counts->current;
  *found = (rn_document_counts){0};
  w->counts->token_files++;
  return rn_token_inputs_read(err, w->options->tokens, path, format,
                              (rn_token_visitor){take_ids, (void *)w, &found->stored_bytes});
}

/* If the file, which was read as text, is a .bin without a header, counts it for a warning. */
static rn_status count_headerless(rn_err *err, const walk *w, const char *path) {
  const rn_token_inputs *tokens = w->options->tokens;
  rn_token_format format;
  if (tokens == NULL || tokens->format != RN_FORMAT_AUTO) return RN_OK;
  RN_TRY(err, rn_token_file_format(err, path, &format));
  if (format == RN_FORMAT_NANOGPT && w->counts->headerless++ == 0) {
    snprintf(w->counts->first_headerless, sizeof w->counts->first_headerless, "%s", path);
  }
  return RN_OK;
}

static rn_status read_text(rn_err *err, const walk *w, const char *path) {
  rn_token_inputs *tokens = w->options->tokens;
  rn_document_counts *found = &w->counts->current;
  if (tokens != NULL && tokens->no_text) {
    struct stat info;
    if (stat(path, &info) != 0) return rn_file_fail(err, "open", path, errno);
    return rn_fail(
        err, RN_ERR_USAGE,
        "%s has no known token format, and it cannot be read as text, because there is no "
        "tokenizer; give --tokenizer or --format",
        path);
  }
  const rn_path name = rn_packing_removed(path);
  const rn_document_format format = {.lines = ends_with(name.text, ".jsonl"),
                                     .packing = rn_packing_of(path)};
  RN_TRY(err, refuse_binary(err, w, path));
  if (tokens != NULL) tokens->last_shard = (rn_path){""};
  RN_TRY(err, rn_documents_read(err, path, format, w->visit, w->self, found));
  w->counts->decompressed += format.packing != RN_PACKING_NONE;
  w->counts->text_inputs += found->documents > 0;
  if (found->documents > 0 && !format.lines) count_compressed(w, path);
  return found->documents > 0 ? count_headerless(err, w, path) : RN_OK;
}

/* Determines the format in which a file is read. An empty file that the user did not name is read
 * as text: then it is counted as empty, whereas most token formats would report an error. */
static rn_status find_format(rn_err *err, const walk *w, const char *path, bool named,
                             rn_token_format *format) {
  struct stat info;
  const bool empty = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0;
  *format = RN_FORMAT_TEXT;
  if (w->options->tokens == NULL || (empty && !named)) return RN_OK;
  return rn_token_inputs_format(err, w->options->tokens, path, format);
}

/* Visits the documents of a file. A file without documents is an error if the user named it. If the
 * file was found in a folder or by a pattern, it is counted as empty, without an error. */
static rn_status visit_file(rn_err *err, const walk *w, const char *path, bool named) {
  rn_document_counts *found = &w->counts->current;
  bool skips = false;
  if (!named && w->options->tokens != NULL) {
    RN_TRY(err, rn_token_inputs_skips(err, w->options->tokens, path, &skips));
  }
  if (skips) {
    w->counts->not_included += w->options->tokens->format != RN_FORMAT_AUTO;
    return RN_OK;
  }
  if (w->options->tokens != NULL && w->options->tokens->no_text && ends_with(path, ".pkl")) {
    w->counts->left_out++; /* nanoGPT's meta.pkl: a table of characters, pickled by Python */
    return RN_OK;
  }
  if (w->visit == NULL) return measure_file(err, w, path);
  rn_token_format format;
  RN_TRY(err, find_format(err, w, path, named, &format));
  if (format == RN_FORMAT_TEXT) {
    RN_TRY(err, read_text(err, w, path));
  } else {
    RN_TRY(err, read_tokens(err, w, path, format));
  }
  w->counts->blank_lines += found->blank_lines;
  w->counts->read_bytes += found->stored_bytes;
  found->stored_bytes = 0;
  if (found->documents > 0) return RN_OK;
  if (named) {
    return rn_fail(err, RN_ERR_FORMAT,
                   found->blank_lines > 0 ? "%s has only blank lines" : "%s is empty", path);
  }
  w->counts->empty_files++;
  return RN_OK;
}

/* True if the file's name, with or without .zst or .gz, matches the pattern. */
static bool is_included(const char *include, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
  return include == NULL || fnmatch(include, name, 0) == 0 ||
         fnmatch(include, rn_packing_removed(name).text, 0) == 0;
}

static rn_status visit_folder(rn_err *err, const walk *w, const char *path) {
  rn_listing files;
  RN_TRY(err, rn_listing_make(err, path, w->options->excluded, w->options->excluded_count, &files));
  rn_status status = RN_OK;
  w->counts->folders++;
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
  rn_path pair = {""};
  const bool there = stat(path, &info) == 0;
  if (!there && !rn_file_leads_nowhere(errno) && (named || errno != EACCES)) {
    return rn_file_fail(err, "look up", path, errno);
  }
  if (!there && named && w->options->tokens != NULL) {
    RN_TRY(err, rn_token_file_pair(err, path, &pair));
  }
  if (pair.text[0] != '\0') return visit_file(err, w, pair.text, named);
  if (there && S_ISDIR(info.st_mode)) return visit_folder(err, w, path);
  if ((there && S_ISREG(info.st_mode)) || named) return visit_file(err, w, path, named);
  w->counts->left_out++;
  return RN_OK;
}

/* The folder that glob() could not read, and why; error is 0 if there was none. */
static _Thread_local struct {
  rn_path folder;
  int error;
} unreadable;

static int note_unreadable(const char *folder, int error) {
  if (rn_file_leads_nowhere(error)) return 0;
  snprintf(unreadable.folder.text, sizeof unreadable.folder.text, "%s", folder);
  unreadable.error = error;
  return 1;
}

/* Visits the files that a pattern matches, in byte order. A pattern reaches this program if the
 * user quotes it, for example because its expansion would be too long for the shell. */
static rn_status visit_pattern(rn_err *err, const walk *w, const char *pattern) {
  glob_t found;
  rn_status status = RN_OK;
  unreadable.error = 0;
  switch (glob(pattern, GLOB_NOSORT, note_unreadable, &found)) {
    case 0:
      break;
    case GLOB_NOMATCH:
      if (w->visit == NULL) w->counts->unmeasured++;
      if (w->visit == NULL) return RN_OK; /* reading the input reports the error */
      return rn_fail(err, RN_ERR_NOT_FOUND,
                     "%s: no such file, and no file name matches this pattern", pattern);
    case GLOB_NOSPACE:
      return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while expanding this pattern", pattern);
    default:
      return rn_file_fail(err, "read folder", unreadable.folder.text, unreadable.error);
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
  const rn_token_inputs *tokens = w->options->tokens;
  if (tokens != NULL && (tokens->no_text || tokens->format > RN_FORMAT_TEXT)) {
    return rn_fail(err, RN_ERR_USAGE, "standard input must be text; give token files by name");
  }
  RN_TRY(err, rn_documents_read(err, NULL, plain, w->visit, w->self, &found));
  w->counts->text_inputs++;
  return found.documents > 0 ? RN_OK : rn_fail(err, RN_ERR_FORMAT, "standard input is empty");
}

rn_status rn_source_visit(rn_err *err, const char *input, const rn_source_options *options,
                          rn_document_visit *visit, void *self, rn_source_counts *counts) {
  const walk w = {options, visit, self, counts};
  if (strcmp(input, "-") == 0) return visit_stdin(err, &w);
  bool exists = true;
  if (strpbrk(input, "*?[") != NULL) RN_TRY(err, rn_file_find(err, input, &exists));
  return !exists ? visit_pattern(err, &w, input) : visit_path(err, &w, input, true);
}

rn_status rn_source_measure(rn_err *err, const char *input, const rn_source_options *options,
                            rn_source_counts *counts) {
  if (strcmp(input, "-") != 0) return rn_source_visit(err, input, options, NULL, NULL, counts);
  counts->unmeasured++;
  return RN_OK;
}
