#include "data/tokenizer/content_kind.h"

#include <stdbool.h>
#include <string.h>

static bool begins(const unsigned char *bytes, size_t count, const char *with, size_t length) {
  return count >= length && memcmp(bytes, with, length) == 0;
}

/* True for an object, apart from white space. Other kinds have control characters near their
 * beginning if they begin like an object at all. */
static bool is_json(const unsigned char *bytes, size_t count) {
  enum { CHECKED = 64 };
  static const char blanks[] = " \t\n\r";
  size_t at = 0;
  while (at < count && memchr(blanks, bytes[at], sizeof blanks - 1) != NULL) at++;
  if (at == count || bytes[at] != '{') return false;
  for (size_t i = 0; i < count && i < CHECKED; i++) {
    if (bytes[i] < ' ' && memchr(blanks, bytes[i], sizeof blanks - 1) == NULL) return false;
  }
  return true;
}

/* True if the first line is base64, with padding, a space and a number. */
static bool is_ranks(const unsigned char *bytes, size_t count) {
  static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  size_t token = 0;
  while (token < count && memchr(base64, bytes[token], sizeof base64 - 1) != NULL) token++;
  if (token == 0 || token % 4 != 0 || token == count || bytes[token] != ' ') return false;
  size_t end = token + 1;
  while (end < count && bytes[end] >= '0' && bytes[end] <= '9') end++;
  return end > token + 1 && (end == count || bytes[end] == '\n' || bytes[end] == '\r');
}

/* True if the first field is a piece (field 1 of ModelProto) whose first field is its text (field 1
 * of SentencePiece), with a number (its score) after the text. */
static bool is_sentencepiece(const unsigned char *bytes, size_t count) {
  enum { FIELD_1 = 0x0a, FLOAT_FIELD_2 = 0x15, HEAD = 4 };
  if (count <= HEAD || bytes[0] != FIELD_1 || bytes[2] != FIELD_1) return false;
  const size_t piece = bytes[1], text = bytes[3];
  return piece < 0x80 && text + 2 < piece && HEAD + text < count &&
         bytes[HEAD + text] == FLOAT_FIELD_2;
}

rn_content_kind rn_content_kind_of(const void *content, size_t count) {
  const unsigned char *bytes = content;
  if (begins(bytes, count, "\x28\xb5\x2f\xfd", 4)) return RN_CONTENT_ZSTD;
  if (begins(bytes, count, "\x1f\x8b", 2)) return RN_CONTENT_GZIP;
  if (is_json(bytes, count)) return RN_CONTENT_JSON;
  if (is_ranks(bytes, count)) return RN_CONTENT_RANKS;
  if (is_sentencepiece(bytes, count)) return RN_CONTENT_SENTENCEPIECE;
  return begins(bytes, count, "#version", 8) ? RN_CONTENT_MERGES : RN_CONTENT_UNKNOWN;
}

rn_status rn_content_check(rn_err *err, const char *path, const void *bytes, size_t count,
                           rn_content_kind wanted) {
  const rn_content_kind kind = rn_content_kind_of(bytes, count);
  if (kind == wanted) return RN_OK;
  if (kind == RN_CONTENT_ZSTD || kind == RN_CONTENT_GZIP) {
    return rn_fail(err, RN_ERR_FORMAT, "%s is compressed with %s; decompress it first", path,
                   kind == RN_CONTENT_ZSTD ? "zstd" : "gzip");
  }
  if (wanted == RN_CONTENT_MERGES) return RN_OK;
  switch (kind) {
    case RN_CONTENT_JSON:
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s looks like JSON; if it is a tokenizer.json or vocab.json, use hf:%s", path,
                     path);
    case RN_CONTENT_RANKS:
      return rn_fail(err, RN_ERR_FORMAT, "%s looks like a rank file of tiktoken; use tiktoken:%s",
                     path, path);
    case RN_CONTENT_SENTENCEPIECE:
      return rn_fail(err, RN_ERR_FORMAT, "%s looks like a sentencepiece model; use spm:%s", path,
                     path);
    case RN_CONTENT_MERGES:
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s looks like the merges of a Hugging Face tokenizer; use hf:DIR with the "
                     "folder that has vocab.json and merges.txt",
                     path);
    default:
      return RN_OK;
  }
}
