/* Checks that a line of a JSONL file that is read in pieces gives the same text or error as a line
 * that is held in memory, at every division into pieces, and that no piece is long. */
#include "data/text/documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "data/file/file.h"
#include "data/text/long_line.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { LONG_BYTES = 6 << 20, PIECE_BYTES = 1 << 16 };

static rn_err *err = &(rn_err){0};

/* What was read: the texts, each followed by a line feed, and the size of the longest piece. */
typedef struct reading {
  rn_text text;
  size_t longest;
  int64_t begun, blank_lines;
} reading;

static rn_status take(void *self, rn_err *fault, const rn_document_piece *piece) {
  reading *r = self;
  if (piece->count > r->longest) r->longest = piece->count;
  r->begun += piece->begins;
  RN_TRY(fault, rn_text_add(fault, &r->text, piece->bytes, piece->count));
  return piece->ends ? rn_text_add(fault, &r->text, "\n", 1) : RN_OK;
}

static rn_status read_lines(rn_err *fault, const char *path, size_t held, reading *r) {
  rn_document_counts counts;
  const rn_document_format format = {
      .lines = true, .packing = rn_packing_of(path), .held_line_bytes = held};
  r->text.count = r->longest = 0;
  r->begun = 0;
  const rn_status status = rn_documents_read(fault, path, format, take, r, &counts);
  r->blank_lines = counts.blank_lines;
  CHECK(status != RN_OK || r->begun == counts.documents);
  return status;
}

static bool equal(const rn_text *a, const rn_text *b) {
  return a->count == b->count && (a->count == 0 || memcmp(a->bytes, b->bytes, a->count) == 0);
}

/* ---- short lines, held in memory or read in pieces ---- */

static const char *const good[] = {
    "{\"text\": \"a\"}",
    "\xef\xbb\xbf{\"text\": \"after a mark\"}\n{\"text\":\"b\"}",
    "{\"text\": \"\"}\n\n \t\r\n{\"text\":\"x\"}\r\n",
    "{\"id\": 12345678901234567890123, \"text\": \"last\", \"n\": [1.5e3, -0, true, null]} ",
    "{\"meta\": {\"text\": \"inner\", \"x\": [\"text\", {\"text\": 1}]}, \"text\": \"outer\"}",
    "{\"te\\u0078t\": \"key with an escape\"}",
    "{\"text\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\u20ac\\ud83d\\ude00\"}",
    "{\"text\": \"\xc3\xa9\xe2\x82\xac\"}",
    "{\"texts\": \"a\", \"tex\": \"b\", \"text\": \"c\", \"v\": \"\\u0000\"}",
    "{\"text\": 5, \"text\": \"the last one counts\"}",
};

static const char *const bad[] = {
    "[\"text\", \"a\"]",
    "\"text\"",
    "{\"texts\": \"a\"}",
    "{\"text\": 1}",
    "{\"text\": \"a\", \"text\": null}",
    "{\"text\": {\"text\": \"a\"}}",
    "{\"text\" \"a\"}",
    "{\"text\": \"a\"",
    "{\"text\": \"a",
    "{\"text\": \"a\\",
    "{\"text\": \"a\"} x",
    "{\"text\": \"a\" \"b\"}",
    "{\"text\": \"a\", }",
    "{\"n\": 1 2, \"text\": \"a\"}",
    "{\"n\": 1e999, \"text\": \"a\"}",
    "{\"\\u0000\": 1, \"text\": \"a\"}",
    "{\"text\": \"\\x\"}",
    "{\"text\": \"\\u12g4\"}",
    "{\"text\": \"\\ud800\"}",
    "{\"text\": \"\\ud800a\"}",
    "{\"text\": \"\\ud800\\n\"}",
    "{\"text\": \"\\ud800\\ud800\"}",
    "{\"text\": \"\\udc00\"}",
    "{\"text\": \"tab\tinside\"}",
    "{\"text\": \"\xff\"}",
    "{\"text\": \"\xc3\"}",
    "{\"text\": \"\xe2\x82\\u00e9\"}",
    "{\"text\": \"\xed\xa0\x80\"}",
    "{\"n\": \"\xc0\x80\", \"text\": \"a\"}",
    "{\"\xff\": 1, \"text\": \"a\"}",
};

static void check_good(const char *lines) {
  const char *path = temp_path("lines.jsonl");
  reading held = {.longest = 0}, pieces = {.longest = 0};
  CHECK_OK(err, rn_file_replace(err, path, lines, strlen(lines)));
  CHECK_OK(err, read_lines(err, path, 0, &held));
  CHECK_OK(err, read_lines(err, path, 1, &pieces));
  CHECK(equal(&held.text, &pieces.text) && held.begun == pieces.begun &&
        held.blank_lines == pieces.blank_lines);
  rn_text_free(&held.text);
  rn_text_free(&pieces.text);
}

static void check_bad(const char *line) {
  const char *path = temp_path("bad.jsonl");
  static char lines[256];
  reading r = {.longest = 0};
  const int count = snprintf(lines, sizeof lines, "{\"text\": \"first\"}\n%s\n", line);
  CHECK_OK(err, rn_file_replace(err, path, lines, (size_t)count));
  CHECK_FAILS(err, RN_ERR_FORMAT, "bad.jsonl:2: ", read_lines(err, path, 0, &r));
  CHECK_FAILS(err, RN_ERR_FORMAT, "bad.jsonl:2: ", read_lines(err, path, 1, &r));
  rn_text_free(&r.text);
}

/* ---- pieces of any size ---- */

static rn_status take_text(void *self, rn_err *fault, const char *bytes, size_t count) {
  return rn_text_add(fault, self, bytes, count);
}

/* Adds the line in pieces of `each` bytes. */
static void read_pieces(const char *line, size_t each, rn_text *text, rn_text *outline) {
  rn_long_line *l = NULL;
  const rn_text *found = NULL;
  const size_t count = strlen(line);
  CHECK_OK(err, rn_long_line_create(err, "line", take_text, text, &l));
  for (size_t at = 0; at < count; at += each) {
    CHECK_OK(err, rn_long_line_add(err, l, line + at, count - at < each ? count - at : each));
  }
  CHECK_OK(err, rn_long_line_finish(err, l, &found));
  CHECK_OK(err, rn_text_add(err, outline, found->bytes, found->count));
  rn_long_line_destroy(&l);
}

static void check_pieces(const char *line) {
  rn_text text = {0}, outline = {0};
  read_pieces(line, strlen(line), &text, &outline);
  for (size_t each = 1; each < 8; each++) {
    rn_text again = {0}, again_outline = {0};
    read_pieces(line, each, &again, &again_outline);
    CHECK(equal(&text, &again) && equal(&outline, &again_outline));
    rn_text_free(&again);
    rn_text_free(&again_outline);
  }
  rn_text_free(&text);
  rn_text_free(&outline);
}

/* ---- long lines ---- */

/* Writes a plain file and its compressed copy. They have a line with LONG_BYTES bytes of three-byte
 * characters, some of which lie across the boundary between two pieces. */
static void write_long(const char *plain, const char *zstd) {
  static char line[LONG_BYTES + 64];
  size_t at = (size_t)snprintf(line, sizeof line, "{\"text\": \"a\"}\n{\"x\": 1, \"text\": \"");
  for (size_t i = 0; i < LONG_BYTES / 3; i++, at += 3) memcpy(line + at, "\xe2\x82\xac", 3);
  memcpy(line + at, "\"}\n", 3);
  at += 3;
  const size_t bound = ZSTD_compressBound(at);
  void *packed = malloc(bound);
  const size_t packed_bytes = ZSTD_compress(packed, bound, line, at, 1);
  CHECK_OK(err, rn_file_replace(err, plain, line, at));
  CHECK_OK(err, rn_file_replace(err, zstd, packed, packed_bytes));
  free(packed);
}

static void check_long(const char *path) {
  reading r = {.longest = 0};
  CHECK_OK(err, read_lines(err, path, 0, &r));
  CHECK(r.text.count == 2 + LONG_BYTES / 3 * 3 + 1 && r.begun == 2);
  CHECK(r.text.count > 9 && memcmp(r.text.bytes, "a\n\xe2\x82\xac\xe2\x82\xac", 8) == 0);
  CHECK(r.longest <= PIECE_BYTES);
  rn_text_free(&r.text);
}

/* A line has two text fields. If it is read in pieces, the first text has already been passed to
 * the caller when the second one is found. */
static void check_two_texts(void) {
  const char *path = temp_path("two.jsonl"), *lines = "{\"text\": \"a\", \"text\": \"b\"}";
  reading r = {.longest = 0};
  CHECK_OK(err, rn_file_replace(err, path, lines, strlen(lines)));
  CHECK_OK(err, read_lines(err, path, 0, &r));
  CHECK(r.text.count == 2 && r.text.bytes[0] == 'b');
  CHECK_FAILS(err, RN_ERR_FORMAT, "two.jsonl:1|several fields", read_lines(err, path, 1, &r));
  rn_text_free(&r.text);
}

/* A line with too many bytes outside of strings is refused before they are all in memory. */
static void check_outline(void) {
  enum { BYTES = 1 << 20 };
  static char brackets[BYTES];
  rn_long_line *l = NULL;
  rn_text text = {0};
  memset(brackets, '[', sizeof brackets);
  CHECK_OK(err, rn_long_line_create(err, "f.jsonl:3", take_text, &text, &l));
  for (int i = 0; i < 64; i++) CHECK_OK(err, rn_long_line_add(err, l, brackets, BYTES));
  CHECK_FAILS(err, RN_ERR_FORMAT, "f.jsonl:3: the line has more than 67108864 bytes outside",
              rn_long_line_add(err, l, brackets, 1));
  rn_long_line_destroy(&l);
}

int main(void) {
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    check_good(good[i]);
    if (strchr(good[i], '\n') == NULL) check_pieces(good[i]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) check_bad(bad[i]);
  const char *plain = temp_path("long.jsonl"), *zstd = temp_path("long.jsonl.zst");
  write_long(plain, zstd);
  check_long(plain);
  check_long(zstd);
  check_two_texts();
  check_outline();
  return check_result();
}
