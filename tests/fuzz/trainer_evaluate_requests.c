/* Checks that a request file with arbitrary bytes is either read or refused with a reason. The
 * token ranges of the requests that are read must follow one another without gaps. */
#include "trainer/evaluate/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { ROUNDS = 1000, MAX_BYTES = 1 << 14 };

static const char valid[] =
    "{\"context\": \"one \\u00e9\", \"continuation\": \" two\"}\n"
    "{\"context\": \"\", \"continuation\": \"x\\u0000y\"}\r\n"
    "\n"
    "{\"text\": \"three\", \"more\": [1, {}]}\n"
    "{\"continuation\": \"\"}";

static rn_err *err = &(rn_err){0};

static void check_requests(const rn_requests *r) {
  for (int64_t i = 0; i < r->count; i++) {
    const rn_request *q = &r->request[i];
    const int64_t next = i + 1 < r->count ? q[1].first : (int64_t)r->tokens.count;
    CHECK_EQUAL(q->first + q->tokens + 1, next);
    CHECK(q->counted >= 0 && q->counted <= q->tokens);
    CHECK_EQUAL(r->tokens.id[q->first], 256);
  }
}

static void valid_requests_are_read(const char *path, const rn_tokenizer *tokenizer) {
  static const int64_t tokens[] = {10, 3, 5, 0}, counted[] = {4, 3, 5, 0};
  rn_requests r = {.count = 0};
  CHECK_OK(err, rn_file_replace(err, path, valid, sizeof valid - 1));
  CHECK_OK(err, rn_requests_load(err, path, tokenizer, &r));
  CHECK_EQUAL(r.count, 4);
  for (int i = 0; i < 4 && i < r.count; i++) {
    CHECK_EQUAL(r.request[i].tokens, tokens[i]);
    CHECK_EQUAL(r.request[i].counted, counted[i]);
  }
  check_requests(&r);
  rn_requests_free(&r);
}

int main(void) {
  static unsigned char work[MAX_BYTES];
  const char *path = temp_path("requests");
  rn_tokenizer *tokenizer = NULL;
  int read = 0;
  CHECK_OK(err, rn_tokenizer_bytes(err, &tokenizer));
  valid_requests_are_read(path, tokenizer);
  for (uint64_t seed = 1; seed < (uint64_t)mutate_rounds(ROUNDS); seed++) {
    rn_file file = {0};
    rn_err why = {0};
    rn_requests r = {.count = 0};
    memcpy(work, valid, sizeof valid - 1);
    const size_t size = mutate(work, sizeof valid - 1, MAX_BYTES, seed);
    CHECK_OK(err, rn_file_create(err, path, &file));
    CHECK_OK(err, rn_file_write(err, &file, 0, work, size));
    CHECK_OK(err, rn_file_close(err, &file));
    const rn_status status = rn_requests_load(&why, path, tokenizer, &r);
    CHECK((status == RN_OK) == (why.text[0] == '\0'));
    CHECK(status == RN_OK || strstr(why.text, path) != NULL);
    if (status == RN_OK) check_requests(&r);
    read += status == RN_OK;
    rn_requests_free(&r);
  }
  CHECK(read > 0);
  rn_tokenizer_destroy(&tokenizer);
  return check_result();
}
