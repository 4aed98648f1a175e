#include "trainer/generate/sequence.h"

#include <stdlib.h>
#include <string.h>

static rn_status append(rn_err *err, rn_sequence *s, const int32_t *token, int64_t count) {
  if (count > s->capacity - s->count) {
    int64_t capacity = s->capacity > 0 ? s->capacity : 256;
    while (capacity - s->count < count) capacity *= 2;
    int32_t *grown = realloc(s->token, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while generating text");
    s->token = grown;
    s->capacity = capacity;
  }
  if (count > 0) memcpy(s->token + s->count, token, (size_t)count * sizeof *token);
  s->count += count;
  return RN_OK;
}

rn_status rn_sequence_draw(rn_err *err, rn_sequence *s, int32_t token) {
  RN_TRY(err, append(err, s, &token, 1));
  s->draws++;
  s->drawn = true;
  return RN_OK;
}

rn_status rn_sequence_give(rn_err *err, rn_sequence *s, const int32_t *token, int64_t count) {
  if (count == 0) return RN_OK;
  if (s->ended) s->count--;
  s->drawn = s->ended = false;
  return append(err, s, token, count);
}

void rn_sequence_free(rn_sequence *s) {
  free(s->token);
  *s = (rn_sequence){.token = NULL};
}
