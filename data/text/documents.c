/* Reads the documents of a file piece by piece: decompresses it, then divides it into JSON lines,
 * or visits its text as one document. */
#include "data/text/documents.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/file/json_text.h"
#include "data/text/long_line.h"

/* State of reading one file. */
typedef struct documents {
  const char *path;
  rn_document_format format;
  rn_document_visit *visit;
  void *self;
  rn_document_counts *counts;
  rn_unpack *unpack;
  /* for JSON lines: the bytes of the current line that were read so far; when they become too many,
   * they and the rest of the line are passed to `long_line` */
  rn_text line;
  rn_long_line *long_line;
  bool text_begun;               /* a piece of the long line's text was visited */
  int64_t line_index;            /* number of complete lines */
  char name[RN_PATH_BYTES + 32]; /* of the current line, for messages */
} documents;

static const char *kind_of(const json_t *value) {
  static const char *const kinds[] = {
      [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
      [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
      [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
  return kinds[json_typeof(value)];
}

static void set_name(documents *d) {
  snprintf(d->name, sizeof d->name, "%s:%lld", d->path, (long long)d->line_index + 1);
}

/* Returns the field "text" of a parsed line in *text. */
static rn_status find_text(rn_err *err, const char *name, const json_t *object,
                           const json_t **text) {
  if (!json_is_object(object)) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: the line is %s; it must be a JSON object with a \"text\" field", name,
                   kind_of(object));
  }
  *text = json_object_get(object, "text");
  if (*text == NULL)
    return rn_fail(err, RN_ERR_FORMAT, "%s: the object has no \"text\" field", name);
  if (json_is_string(*text)) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s: \"text\" is %s, not a string", name, kind_of(*text));
}

/* Parses a line and visits its document. For a long line, `line` is the outline (long_line.h),
 * whose text is empty, because the text was visited before; the visit then only ends the document.
 */
static rn_status visit_line(rn_err *err, documents *d, const char *line, size_t length,
                            bool begins) {
  const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY;
  json_error_t reason;
  const json_t *text = NULL;
  bool no_memory;
  d->counts->documents++;
  json_t *object = rn_json_parse(line, length, flags, &reason, &no_memory);
  if (no_memory) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", d->name);
  if (object == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: invalid JSON: %s", d->name, reason.text);
  }
  rn_status status = find_text(err, d->name, object, &text);
  if (status == RN_OK) {
    status = d->visit(d->self, err,
                      &(rn_document_piece){d->name, json_string_value(text),
                                           json_string_length(text), begins, true, NULL});
  }
  json_decref(object);
  return status;
}

static bool is_blank(const char *line, size_t length) {
  size_t at = 0;
  while (at < length && strchr(" \t\r", line[at]) != NULL && line[at] != '\0') at++;
  return at == length;
}

/* ---- JSON lines ---- */

/* Returns the number of bytes of a byte order mark at the start of the first line. */
static size_t mark_bytes(const documents *d, const char *line, size_t length) {
  static const char mark[] = "\xef\xbb\xbf";
  return d->line_index == 0 && length >= 3 && memcmp(line, mark, 3) == 0 ? 3 : 0;
}

static rn_status take_line(rn_err *err, documents *d, const char *line, size_t length) {
  const size_t mark = mark_bytes(d, line, length);
  set_name(d);
  d->line_index++;
  if (mark > 0 && length == mark) return RN_OK;
  if (!is_blank(line + mark, length - mark)) {
    return visit_line(err, d, line + mark, length - mark, true);
  }
  d->counts->blank_lines++;
  return RN_OK;
}

static rn_status take_long_text(void *self, rn_err *err, const char *bytes, size_t count) {
  documents *d = self;
  const bool begins = !d->text_begun;
  d->text_begun = true;
  return d->visit(d->self, err, &(rn_document_piece){d->name, bytes, count, begins, false, NULL});
}

/* Starts to read the current line in pieces, beginning with its bytes that are in memory. */
static rn_status begin_long_line(rn_err *err, documents *d) {
  const size_t mark = mark_bytes(d, d->line.bytes, d->line.count);
  set_name(d);
  d->text_begun = false;
  RN_TRY(err, rn_long_line_create(err, d->name, take_long_text, d, &d->long_line));
  return rn_long_line_add(err, d->long_line, d->line.bytes + mark, d->line.count - mark);
}

static rn_status end_long_line(rn_err *err, documents *d) {
  const rn_text *outline = NULL;
  rn_status status = rn_long_line_finish(err, d->long_line, &outline);
  d->line_index++;
  if (status == RN_OK && outline->count == 0) {
    d->counts->blank_lines++;
  } else if (status == RN_OK) {
    status = visit_line(err, d, outline->bytes, outline->count, !d->text_begun);
  }
  rn_long_line_destroy(&d->long_line);
  return status;
}

static rn_status keep_line(rn_err *err, documents *d, const char *bytes, size_t count) {
  enum { HELD_BYTES = 1 << 22 };
  const size_t held = d->format.held_line_bytes > 0 ? d->format.held_line_bytes : HELD_BYTES;
  if (d->long_line != NULL) return rn_long_line_add(err, d->long_line, bytes, count);
  RN_TRY(err, rn_text_add(err, &d->line, bytes, count));
  return d->line.count > held ? begin_long_line(err, d) : RN_OK;
}

static rn_status end_line(rn_err *err, documents *d) {
  const rn_status status =
      d->long_line != NULL
          ? end_long_line(err, d)
          : take_line(err, d, d->line.count > 0 ? d->line.bytes : "", d->line.count);
  d->line.count = 0;
  return status;
}

static rn_status take_lines(rn_err *err, documents *d, const char *bytes, size_t count) {
  for (size_t at = 0; at < count;) {
    const char *end = memchr(bytes + at, '\n', count - at);
    const size_t length = end != NULL ? (size_t)(end - bytes) - at : count - at;
    RN_TRY(err, keep_line(err, d, bytes + at, length));
    if (end == NULL) return RN_OK;
    RN_TRY(err, end_line(err, d));
    at += length + 1;
  }
  return RN_OK;
}

/* ---- plain text ---- */

static rn_status take_text(rn_err *err, documents *d, const char *bytes, size_t count) {
  const bool begins = d->counts->documents == 0;
  if (count == 0) return RN_OK;
  d->counts->documents = 1;
  return d->visit(d->self, err, &(rn_document_piece){d->path, bytes, count, begins, false, NULL});
}

/* ---- any format ---- */

static rn_status take_plain(void *self, rn_err *err, const char *bytes, size_t count) {
  documents *d = self;
  return d->format.lines ? take_lines(err, d, bytes, count) : take_text(err, d, bytes, count);
}

static rn_status take_stored(void *self, rn_err *err, const char *bytes, size_t count) {
  documents *d = self;
  d->counts->stored_bytes += (int64_t)count;
  return rn_unpack_add(err, d->unpack, bytes, count, take_plain, d);
}

static rn_status finish(rn_err *err, documents *d) {
  RN_TRY(err, rn_unpack_finish(err, d->unpack));
  if (d->format.lines) return d->line.count > 0 ? end_line(err, d) : RN_OK;
  if (d->counts->documents == 0) return RN_OK;
  return d->visit(d->self, err, &(rn_document_piece){d->path, "", 0, false, true, NULL});
}

rn_status rn_documents_read(rn_err *err, const char *path, rn_document_format format,
                            rn_document_visit *visit, void *self, rn_document_counts *counts) {
  documents d = {.path = path != NULL ? path : "standard input",
                 .format = format,
                 .visit = visit,
                 .self = self,
                 .counts = counts};
  *counts = (rn_document_counts){0};
  rn_status status = rn_unpack_create(err, d.path, format.packing, &d.unpack);
  if (status == RN_OK) status = rn_stream_read(err, path, take_stored, &d);
  if (status == RN_OK) status = finish(err, &d);
  rn_unpack_destroy(&d.unpack);
  rn_long_line_destroy(&d.long_line);
  rn_text_free(&d.line);
  return status;
}
