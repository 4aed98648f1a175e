/* Fuzzes the reader of evaluation requests. The token ranges of requests that are accepted must
 * follow one another without gaps. */
#include <string.h>

#include "tests/fuzz/target.h"
#include "trainer/evaluate/requests.h"

enum { BEGIN = 97 };

static void check_ranges(const rn_requests *r) {
  for (int64_t i = 0; i < r->count; i++) {
    const rn_request *q = &r->request[i];
    const int64_t next = i + 1 < r->count ? q[1].first : (int64_t)r->tokens.count;
    target_require(q->first + q->tokens + 1 == next, "requests have no gaps");
    target_require(q->counted >= 0 && q->counted <= q->tokens, "a continuation has its tokens");
    target_require(r->tokens.id[q->first] == BEGIN, "a request begins with the begin token");
  }
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  rn_tokenizer *tokenizer = NULL;
  rn_requests requests = {.count = 0};
  const char *path = target_file(data, bytes);
  target_require(rn_tokenizer_bytes(&err, &tokenizer) == RN_OK, "memory suffices");
  const bool accepted =
      target_is_ok(rn_requests_load(&err, path, tokenizer, BEGIN, &requests), &err);
  target_require(accepted || strstr(err.text, path) != NULL, "a message names the file");
  if (accepted) check_ranges(&requests);
  rn_requests_free(&requests);
  rn_tokenizer_destroy(&tokenizer);
  return accepted;
}
