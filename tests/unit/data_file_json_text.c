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

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
  return ++allocations == failing ? NULL : __real_malloc(bytes);
}

/* A string that is longer than the parser's first buffer, so that the buffer grows. */
static const char text[] =
    "{\"a long key of the object, which is longer than sixteen bytes\": [1, 2.5, true, null,"
    " \"a long string \\u20ac of the array, which is longer than sixteen bytes as well\"]}";

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
