/* Checks that a JSON text is parsed as a whole, or that the parser says why not: whichever
 * allocation fails, it must report missing memory, and neither an invalid text nor a part of the
 * text. */
#include "data/file/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

/* The linker redirects the calls of malloc in json_text.c, through which jansson allocates. */
static long allocations, failing;
static size_t most_bytes; /* larger allocations fail; 0: none */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
  allocations++;
  if (allocations == failing || (most_bytes != 0 && bytes > most_bytes)) return NULL;
  return __real_malloc(bytes);
}

/* The parser's buffer grows at 16 bytes, which is the closing quote of the first key, and inside
 * the longer strings. */
static const char text[] =
    "{\"attention_bias\": 1, \"a key of more than sixteen and of fewer than sixty-four bytes\": [1,"
    " 2.5, true, null, \"a long string \\u20ac of the array, which is longer than sixty-four bytes,"
    " so that the buffer grows again\"]}";

static json_t *parse(long fail, bool *no_memory) {
  json_error_t reason;
  allocations = 0;
  failing = fail;
  json_t *parsed = rn_json_parse(text, sizeof text - 1, 0, &reason, no_memory);
  failing = 0;
  return parsed;
}

static void each_failed_allocation_is_reported(void) {
  bool no_memory = true;
  json_t *whole = parse(0, &no_memory);
  const long count = allocations;
  CHECK(json_is_object(whole) && !no_memory);
  CHECK(count > 10);
  for (long fail = 1; fail <= count; fail++) {
    if (!CHECK(parse(fail, &no_memory) == NULL && no_memory)) {
      fprintf(stderr, "allocation %ld of %ld\n", fail, count);
    }
  }
  for (most_bytes = 8; most_bytes <= 64; most_bytes *= 2) {
    CHECK(parse(0, &no_memory) == NULL && no_memory);
  }
  most_bytes = 0;
  json_t *again = parse(0, &no_memory);
  CHECK(json_equal(whole, again) && !no_memory);
  json_decref(again);
  json_decref(whole);
}

static void an_invalid_text_has_a_reason(void) {
  json_error_t reason;
  bool no_memory = true;
  CHECK(rn_json_parse("{\"a\": }", 7, 0, &reason, &no_memory) == NULL);
  CHECK(!no_memory && strstr(reason.text, "unexpected token") != NULL);
}

int main(void) {
  each_failed_allocation_is_reported();
  an_invalid_text_has_a_reason();
  return check_result();
}
