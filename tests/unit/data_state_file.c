/* Checks that a state file gives back what was written, that a flipped bit in any byte and missing
 * bytes are noticed, and that a message with a valid checksum but wrong counts is refused. */
#include "data/state/state_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { FRAMES = 3, ELEMENTS = 20, TOKENS = 9, TRAILER_BYTES = 24, MAX_BYTES = 1 << 16 };

static rn_err err;
static const char *path;
static float state[FRAMES][ELEMENTS];
static size_t max_bytes = sizeof state; /* limit of rn_state_reader_read */

static Retnet__GenerationState message_of(uint32_t *token) {
  Retnet__GenerationState m = RETNET__GENERATION_STATE__INIT;
  for (uint32_t i = 0; i < TOKENS; i++) token[i] = 100 * i;
  m.model_hash = UINT64_MAX;
  m.tokenizer_hash = 7;
  m.token = token;
  m.n_token = TOKENS;
  m.read = TOKENS - 1;
  m.draws = 2;
  m.drawn = true;
  return m;
}

static void write_state(const Retnet__GenerationState *message) {
  rn_state_writer writer = {.bytes = 0};
  CHECK_OK(&err, rn_state_writer_open(&err, path, &writer));
  for (int i = 0; i < FRAMES; i++) {
    CHECK_OK(&err, rn_state_writer_add(&err, &writer, state[i], sizeof state[i]));
  }
  CHECK_OK(&err, rn_state_writer_commit(&err, &writer, message));
  rn_state_writer_close(&writer);
}

/* Reads all of the file. */
static rn_status read_state(float (*out)[ELEMENTS]) {
  rn_state_reader reader = {.message = NULL};
  void *all = NULL;
  size_t bytes = 0;
  rn_err_clear(&err);
  rn_status status = rn_state_reader_open(&err, path, &reader);
  if (status == RN_OK) status = rn_state_reader_read(&err, &reader, max_bytes, &all, &bytes);
  if (all != NULL && bytes == sizeof state) memcpy(out, all, bytes);
  free(all);
  rn_state_reader_close(&reader);
  return status;
}

static void put_file(const void *bytes, size_t count) {
  rn_file file = {0};
  CHECK_OK(&err, rn_file_create(&err, path, &file));
  CHECK_OK(&err, rn_file_write(&err, &file, 0, bytes, count));
  CHECK_OK(&err, rn_file_close(&err, &file));
}

static void what_was_written_comes_back(void) {
  uint32_t token[TOKENS];
  float got[FRAMES][ELEMENTS];
  rn_state_reader reader = {.message = NULL};
  const Retnet__GenerationState m = message_of(token);
  write_state(&m);
  CHECK_OK(&err, read_state(got));
  CHECK(memcmp(got, state, sizeof state) == 0);
  if (!CHECK_OK(&err, rn_state_reader_open(&err, path, &reader))) return;
  CHECK(reader.message->model_hash == UINT64_MAX && reader.message->tokenizer_hash == 7);
  CHECK(reader.message->n_token == TOKENS &&
        memcmp(reader.message->token, token, sizeof token) == 0);
  CHECK(reader.message->read == TOKENS - 1 && reader.message->draws == 2);
  CHECK(reader.message->drawn && !reader.message->ended && !reader.message->bf16);
  rn_state_reader_close(&reader);
}

static void a_larger_state_is_refused(void) {
  float got[FRAMES][ELEMENTS];
  max_bytes = sizeof state - 1;
  CHECK_EQUAL(read_state(got), RN_ERR_FORMAT);
  CHECK(strstr(err.text, "larger than a state") != NULL);
  max_bytes = sizeof state;
}

static void damage_is_noticed(const unsigned char *bytes, size_t count) {
  static unsigned char copy[MAX_BYTES];
  float got[FRAMES][ELEMENTS];
  int missed = 0;
  for (size_t at = 0; at < count; at++) {
    memcpy(copy, bytes, count);
    copy[at] ^= (unsigned char)(1 << at % 8);
    put_file(copy, count);
    missed += read_state(got) == RN_OK || strstr(err.text, path) == NULL;
  }
  for (size_t left = 0; left < count; left++) {
    put_file(bytes, left);
    missed += read_state(got) == RN_OK || strstr(err.text, path) == NULL;
  }
  memcpy(copy, bytes, count);
  copy[count] = 0;
  put_file(copy, count + 1);
  missed += read_state(got) == RN_OK;
  CHECK_EQUAL(missed, 0);
}

/* Changes each byte of the message and corrects the checksum. The reader may accept or refuse the
 * file, but must not crash. */
static void hostile_messages_are_harmless(const unsigned char *bytes, size_t count) {
  static unsigned char copy[MAX_BYTES];
  float got[FRAMES][ELEMENTS];
  const size_t length = (size_t)rn_get_u64(bytes + count - 16), end = count - TRAILER_BYTES;
  for (size_t at = end - length; at < end; at++) {
    for (int change = 1; change < 256; change += 100) {
      memcpy(copy, bytes, count);
      copy[at] = (unsigned char)(copy[at] + change);
      rn_put_u64(copy + count - 8, rn_blob_sum(copy + end - length, length));
      put_file(copy, count);
      (void)read_state(got);
    }
  }
}

static void refuse_counts(uint64_t read, uint64_t draws, bool drawn, bool ended) {
  uint32_t token[TOKENS];
  float got[FRAMES][ELEMENTS];
  Retnet__GenerationState m = message_of(token);
  m.read = read;
  m.draws = draws;
  m.drawn = drawn;
  m.ended = ended;
  write_state(&m);
  CHECK_EQUAL(read_state(got), RN_ERR_FORMAT);
  CHECK(strstr(err.text, "inconsistent") != NULL);
}

int main(void) {
  void *bytes = NULL;
  size_t count = 0;
  path = temp_path("a.state");
  for (int i = 0; i < FRAMES * ELEMENTS; i++) {
    state[i / ELEMENTS][i % ELEMENTS] = (float)(i % 7) - 0.5f;
  }
  what_was_written_comes_back();
  a_larger_state_is_refused();
  CHECK_OK(&err, rn_file_load(&err, path, MAX_BYTES - 1, &bytes, &count));
  damage_is_noticed(bytes, count);
  hostile_messages_are_harmless(bytes, count);
  refuse_counts(TOKENS, 2, false, false); /* wrong: read is not less than the number of tokens */
  refuse_counts(UINT64_MAX, 2, false, false);
  refuse_counts(3, 2, true, false);          /* wrong: unread tokens besides the drawn one */
  refuse_counts(TOKENS - 1, 0, true, false); /* wrong: 0 draws, although the last token was drawn */
  refuse_counts(TOKENS - 1, TOKENS + 1, true, false);
  refuse_counts(3, 0, false, true); /* wrong: ended, but not by a drawn token */
  free(bytes);
  return check_result();
}
