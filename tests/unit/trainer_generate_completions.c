/* Checks that a completion ends before its first stop string, wherever the text is divided into
 * tokens. Streamed text must never contain a part of a stop string that is removed later, and only
 * text that may be removed is held back. */
#include "trainer/generate/completions.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/random.h"
#include "proto/base/utf8.h"
#include "tests/support/check.h"

enum { BYTES = 24 };

static rn_err err;

/* Returns the offset of the first stop string in the text, or `count` if there is none. */
static size_t end_of(rn_stop_strings stops, const char *text, size_t count) {
  size_t end = count;
  for (int i = 0; i < stops.count; i++) {
    const size_t length = strlen(stops.string[i]);
    for (size_t at = 0; at + length <= count; at++) {
      if (memcmp(text + at, stops.string[i], length) == 0 && at < end) end = at;
    }
  }
  return end;
}

/* Returns whether the last `held` bytes of the text could be the beginning of a stop string. */
static bool may_be_taken_back(rn_stop_strings stops, const char *text, size_t count, size_t held) {
  for (int i = 0; i < stops.count; i++) {
    const size_t length = strlen(stops.string[i]);
    if (held < length && memcmp(text + count - held, stops.string[i], held) == 0) return true;
  }
  return false;
}

static void text_ends_where_it_must(rn_stop_strings stops, const char *text, uint64_t cuts) {
  rn_completion c = {.tokens = 0};
  for (size_t from = 0, to; from < BYTES && !c.complete; from = to) {
    for (to = from + 1; to < BYTES && (cuts >> to & 1) == 0;) to++;
    CHECK_OK(&err, rn_completion_append(&err, &c, stops, text + from, to - from));
    const size_t end = end_of(stops, text, to);
    CHECK_EQUAL(c.complete, end < to);
    CHECK(c.text.count == end && memcmp(c.text.bytes, text, end) == 0);
    const size_t held = rn_stop_strings_open_end(stops, text, to);
    for (size_t more = held + 1; !c.complete && more <= to; more++) {
      CHECK(!may_be_taken_back(stops, text, to, more));
    }
    CHECK(c.complete || held == 0 || may_be_taken_back(stops, text, to, held));
  }
  CHECK(!c.complete || c.stop == RN_STOP_STRING);
  rn_text_free(&c.text);
}

/* Cuts texts at random. They consist of two letters, so that they contain many beginnings of stop
 * strings. */
static void stop_strings_are_found_across_tokens(void) {
  static const char *const string[] = {"abba", "bb", "aabaab", "babababab"};
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "stops");
  for (uint64_t i = 0; i < 2000; i++) {
    char text[BYTES];
    const uint64_t bits = rn_random_bits(key, 2 * i), cuts = rn_random_bits(key, 2 * i + 1);
    for (int b = 0; b < BYTES; b++) text[b] = bits >> b & 1 ? 'b' : 'a';
    text_ends_where_it_must((rn_stop_strings){string, (int)(i % 5)}, text, cuts);
  }
}

/* Reads everything that has been printed to the file so far into `out`; returns the number of
 * bytes, which must be at least `had`, the number at the previous call. */
static size_t printed_after(FILE *file, size_t had, char *out, size_t capacity) {
  const size_t count = (size_t)lseek(fileno(file), 0, SEEK_END);
  CHECK(count >= had && count < capacity);
  CHECK_EQUAL(pread(fileno(file), out, count, 0), (ssize_t)count);
  return count;
}

static void a_character_is_printed_when_it_is_whole(void) {
  static const char *const string[] = {"!!"};
  static const char text[] = "a\xc3\xa9\xe2\x82\xac!x\xf0\x9f\x98\x80\xff!!z";
  static const size_t want[] = {2, 2, 4, 4, 4, 7, 7, 9, 9, 9, 9, 13, 14, 14, 14};
  const rn_stop_strings stops = {string, 1};
  FILE *file = tmpfile();
  const int before = dup(STDOUT_FILENO);
  rn_completions all = {0};
  rn_completions_printed printed = {0};
  char out[64];
  size_t count = 0;
  if (!CHECK(file != NULL && before >= 0)) return;
  CHECK(fflush(stdout) == 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
  CHECK_OK(&err, rn_completions_add(&err, &all, ">", 1));
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    CHECK_OK(&err, rn_completion_append(&err, &all.text[0], stops, text + i, 1));
    CHECK(rn_completions_stream(&all, stops, &printed));
    count = printed_after(file, count, out, sizeof out);
    CHECK_EQUAL(count, want[i]);
    CHECK(out[0] == '>' && memcmp(out + 1, text, count - 1) == 0);
  }
  CHECK(all.text[0].complete);
  CHECK(dup2(before, STDOUT_FILENO) >= 0);
  rn_completions_destroy(&all);
  close(before);
  fclose(file);
}

int main(void) {
  stop_strings_are_found_across_tokens();
  a_character_is_printed_when_it_is_whole();
  return check_result();
}
