/* Reads the documents of a file piece by piece: decompression, then lines or plain text. */
#include "data/text/documents.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"

/* State of reading one file. */
typedef struct documents {
  const char *path;
  rn_document_format format;
  rn_document_visit *visit;
  void *self;
  rn_document_counts *counts;
  rn_unpack *unpack;
  /* for JSON lines: start of the line whose end is not read yet */
  char *line;
  size_t line_count, line_capacity;
  int64_t line_index;
} documents;

static const char *kind_of(const json_t *value) {
  static const char *const kinds[] = {
      [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
      [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
      [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
  return kinds[json_typeof(value)];
}

/* Visits the document of one parsed line. */
static rn_status visit_object(rn_err *err, const documents *d, const char *name,
                              const json_t *object) {
  if (!json_is_object(object)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: is %s; it must be an object with a \"text\" field",
                   name, kind_of(object));
  }
  const json_t *text = json_object_get(object, "text");
  if (text == NULL) return rn_fail(err, RN_ERR_FORMAT, "%s: has no \"text\" field", name);
  if (!json_is_string(text)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: \"text\" is %s, not a string", name, kind_of(text));
  }
  return d->visit(d->self, err,
                  &(rn_document_piece){name, json_string_value(text), json_string_length(text),
                                       true, true, NULL});
}

static rn_status visit_line(rn_err *err, const documents *d, const char *path, int64_t number,
                            const char *line, size_t length) {
  char name[RN_PATH_BYTES + 32];
  json_error_t reason;
  snprintf(name, sizeof name, "%s:%lld", path, (long long)number);
  json_t *object =
      json_loadb(line, length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY, &reason);
  if (object == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: invalid JSON: %s", name, reason.text);
  }
  const rn_status status = visit_object(err, d, name, object);
  json_decref(object);
  return status;
}

static bool is_blank(const char *line, size_t length) {
  size_t at = 0;
  while (at < length && strchr(" \t\r", line[at]) != NULL && line[at] != '\0') at++;
  return at == length;
}

static rn_status out_of_memory(rn_err *err, const documents *d) {
  return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", d->path);
}

/* ---- JSON lines ---- */

static rn_status take_line(rn_err *err, documents *d, const char *line, size_t length) {
  static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
  if (d->line_index++ == 0 && length >= 3 && memcmp(line, mark, 3) == 0) {
    line += 3;
    length -= 3;
    if (length == 0) return RN_OK;
  }
  if (is_blank(line, length)) {
    d->counts->blank_lines++;
    return RN_OK;
  }
  d->counts->documents++;
  return visit_line(err, d, d->path, d->line_index, line, length);
}

static rn_status keep_line(rn_err *err, documents *d, const char *bytes, size_t count) {
  const size_t max_bytes =
      d->format.max_line_bytes > 0 ? d->format.max_line_bytes : (size_t)1 << 30;
  if (count > max_bytes - d->line_count) {
    return rn_fail(err, RN_ERR_FORMAT, "%s:%lld: the line has more than %zu bytes", d->path,
                   (long long)d->line_index + 1, max_bytes);
  }
  if (count > d->line_capacity - d->line_count) {
    size_t capacity = d->line_capacity > 0 ? d->line_capacity : 1 << 16;
    while (capacity - d->line_count < count) capacity *= 2;
    char *grown = realloc(d->line, capacity);
    if (grown == NULL) return out_of_memory(err, d);
    d->line = grown;
    d->line_capacity = capacity;
  }
  memcpy(d->line + d->line_count, bytes, count);
  d->line_count += count;
  return RN_OK;
}

static rn_status end_line(rn_err *err, documents *d) {
  const size_t length = d->line_count;
  d->line_count = 0;
  return take_line(err, d, d->line, length);
}

static rn_status take_lines(rn_err *err, documents *d, const char *bytes, size_t count) {
  for (size_t at = 0; at < count;) {
    const char *end = memchr(bytes + at, '\n', count - at);
    const size_t length = end != NULL ? (size_t)(end - bytes) - at : count - at;
    if (end == NULL) return keep_line(err, d, bytes + at, length);
    if (d->line_count > 0) {
      RN_TRY(err, keep_line(err, d, bytes + at, length));
      RN_TRY(err, end_line(err, d));
    } else {
      RN_TRY(err, take_line(err, d, bytes + at, length));
    }
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
  if (d->format.lines) return d->line_count > 0 ? end_line(err, d) : RN_OK;
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
  free(d.line);
  return status;
}
