/* Checks malicious tokenizer files. A pattern must be refused unless it divides the whole text into
 * pieces, and a token that is too long must be refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/tokenizer/pretokenizer.h"
#include "data/tokenizer/tokenizer_file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};
static const char text[] = "xab\xc3\xa9 abab";

/* The pieces must cover the text in order. */
static rn_status take_piece(void *self, rn_err *unused, const unsigned char *piece, size_t count) {
  const unsigned char **next = self;
  (void)unused;
  CHECK(piece == *next && count <= sizeof text);
  *next += count;
  return RN_OK;
}

static rn_status split(const char *pattern) {
  const unsigned char *next = (const unsigned char *)text;
  rn_pretokenizer *p = NULL;
  rn_pretokenizer_work *work = NULL;
  rn_status status = rn_pretokenizer_create(err, pattern, &p);
  if (status == RN_OK) status = rn_pretokenizer_work_create(err, p, &work);
  if (status == RN_OK) {
    status = rn_pretokenizer_split(err, work, text, sizeof text - 1, take_piece, (void *)&next);
  }
  if (status == RN_OK) CHECK(next == (const unsigned char *)text + sizeof text - 1);
  rn_pretokenizer_work_destroy(&work);
  rn_pretokenizer_destroy(&p);
  return status;
}

static void patterns_make_pieces_or_are_refused(void) {
  CHECK_OK(err, split("a\\Kb|x"));
  CHECK_OK(err, split("(?:(?=(?1))|c)((?:a\\K)b)|x"));
  CHECK_FAILS(err, RN_ERR_FORMAT, "ends before it begins",
              split("(?=(?&x))(?(DEFINE)(?<x>ab\\K))a"));
  CHECK_FAILS(err, RN_ERR_FORMAT, "PCRE2", split("\\C"));
  CHECK_FAILS(err, RN_ERR_FORMAT, "PCRE2", split("a(?:b\\C)+"));
}

static void a_long_token_is_refused(void) {
  enum { DIGITS = 4 * 4096 };
  static char line[DIGITS + 16];
  Retnet__Tokenizer *file = NULL;
  rn_tokenizer *tokenizer = NULL;
  memset(line, 'A', DIGITS);
  strcpy(line + DIGITS, " 0\n");
  const char *settings = "{\"pattern\": \"a\", \"special_tokens\": {}}",
             *path = temp_path("r.json");
  CHECK_OK(err, rn_file_replace(err, path, settings, strlen(settings)));
  path = temp_path("r.tiktoken");
  CHECK_OK(err, rn_file_replace(err, path, line, strlen(line)));
  char name[RN_PATH_BYTES + 16];
  snprintf(name, sizeof name, "tiktoken:%s", path);
  CHECK_OK(err, rn_tokenizer_file_read(err, name, &file));
  CHECK_FAILS(err, RN_ERR_FORMAT, "r.tiktoken:1|more than 4096 bytes",
              rn_tokenizer_create(err, file, &tokenizer));
  rn_tokenizer_destroy(&tokenizer);
  rn_tokenizer_file_free(file);
}

int main(void) {
  patterns_make_pieces_or_are_refused();
  a_long_token_is_refused();
  return check_result();
}
