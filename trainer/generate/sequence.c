#include "trainer/generate/sequence.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

static rn_status append(rn_err *err, rn_sequence *s, const int32_t *token, int64_t count) {
  RN_TRY(err, rn_grow(err, "tokens of a text", (size_t)(s->count + count), sizeof *s->token,
                      &s->token, &s->capacity));
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
