/* Encodes texts with one thread, and finds allowed special tokens in them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_calls.h"
#include "proto/base/arena.h"

struct rn_encoder {
  const rn_tokenizer *tokenizer;
  void *work;
  bool *allowed; /* [specials] */
  size_t *next;  /* [specials] next position of each special token in the text */
  bool any;
};

rn_status rn_encoder_create(rn_err *err, const rn_tokenizer *tokenizer, rn_encoder **out) {
  rn_encoder *e = NULL;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "encoder", 1, sizeof *e, &e));
  e->tokenizer = tokenizer;
  rn_status status =
      rn_alloc(err, "encoder", (size_t)tokenizer->specials, sizeof *e->allowed, &e->allowed);
  if (status == RN_OK) {
    status = rn_alloc(err, "encoder", (size_t)tokenizer->specials, sizeof *e->next, &e->next);
  }
  if (status == RN_OK) status = tokenizer->calls->work_create(err, tokenizer->self, &e->work);
  if (status != RN_OK) rn_encoder_destroy(&e);
  *out = e;
  return status;
}

void rn_encoder_destroy(rn_encoder **encoder) {
  rn_encoder *e = *encoder;
  if (e == NULL) return;
  if (e->work != NULL) e->tokenizer->calls->work_destroy(e->work);
  free(e->allowed);
  free(e->next);
  free(e);
  *encoder = NULL;
}

static rn_status allow_one(rn_err *err, rn_encoder *e, const char *name, size_t length) {
  const rn_tokenizer *t = e->tokenizer;
  for (int i = 0; i < t->specials; i++) {
    const char *text = t->special[i].text;
    if (strlen(text) != length || memcmp(text, name, length) != 0 || length == 0) continue;
    e->allowed[i] = e->any = true;
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_USAGE, "tokenizer %s has no special token \"%.*s\"", t->name,
                 (int)length, name);
}

rn_status rn_encoder_allow(rn_err *err, rn_encoder *e, const char *names) {
  if (strcmp(names, "all") == 0) {
    for (int i = 0; i < e->tokenizer->specials; i++) {
      e->allowed[i] = e->tokenizer->special[i].text[0] != '\0';
      e->any = e->any || e->allowed[i];
    }
    if (e->any) return RN_OK;
    return rn_fail(
        err, RN_ERR_USAGE,
        "--special-tokens all: tokenizer %s has no special token that a text can contain",
        e->tokenizer->name);
  }
  const char *at = names;
  do {
    const size_t length = strcspn(at, ",");
    RN_TRY(err, allow_one(err, e, at, length));
    at += length + (at[length] == ',');
  } while (*at != '\0');
  return RN_OK;
}

bool rn_encoder_may_cut(const rn_encoder *e) {
  for (int i = 0; i < e->tokenizer->specials; i++) {
    if (e->allowed[i] && strpbrk(e->tokenizer->special[i].text, " \t\n\v\f\r") != NULL)
      return false;
  }
  return true;
}

/* Returns the first position of `special` at or after `at`, or `count` if there is none. */
static size_t find(const char *special, const char *text, size_t count, size_t at) {
  const char *found = memmem(text + at, count - at, special, strlen(special));
  return found != NULL ? (size_t)(found - text) : count;
}

/* Finds the leftmost allowed special token at or after `at` and, of several that begin there, the
 * longest. Returns its position, or `count` if there is none. The next position of each token is
 * cached until `at` has passed it. */
static size_t next_special(rn_encoder *e, const char *text, size_t count, size_t at, int *which) {
  size_t first = count, longest = 0;
  for (int i = 0; i < e->tokenizer->specials; i++) {
    if (!e->allowed[i]) continue;
    const char *special = e->tokenizer->special[i].text;
    const size_t length = strlen(special);
    if (e->next[i] < at) e->next[i] = find(special, text, count, at);
    if (e->next[i] > first || (e->next[i] == first && length <= longest)) continue;
    first = e->next[i];
    longest = length;
    *which = i;
  }
  return first;
}

static void start_text(rn_encoder *e, const char *text, size_t count) {
  for (int i = 0; i < e->tokenizer->specials; i++) {
    if (!e->allowed[i]) continue;
    e->next[i] = find(e->tokenizer->special[i].text, text, count, 0);
  }
}

rn_status rn_encoder_encode(rn_err *err, rn_encoder *e, const char *text, size_t count,
                            rn_tokens *tokens) {
  const rn_tokenizer *t = e->tokenizer;
  if (!e->any) return t->calls->encode(err, t->self, e->work, text, count, tokens);
  start_text(e, text, count);
  for (size_t at = 0; at < count;) {
    int which = 0;
    const size_t next = next_special(e, text, count, at, &which);
    RN_TRY(err, t->calls->encode(err, t->self, e->work, text + at, next - at, tokens));
    at = next;
    if (at == count) break;
    const size_t length = strlen(t->special[which].text);
    RN_TRY(err, rn_tokens_add(err, tokens, t->special[which].id, (uint32_t)length));
    at += length;
  }
  return RN_OK;
}
