#include "data/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/tokenizer_calls.h"
#include "proto/base/arena.h"

/* The public part is the first member, so that a pointer to it is also a pointer to the whole. */
typedef struct whole {
  rn_tokenizer public;
  rn_token_table table;
  rn_special_token *special;
} whole;

static const whole *whole_of(const rn_tokenizer *tokenizer) {
  return (const whole *)tokenizer;
}

/* ---- growing arrays ---- */

rn_status rn_tokens_add(rn_err *err, rn_tokens *tokens, int32_t id, uint32_t text_bytes) {
  if (tokens->count == tokens->capacity) {
    const size_t count = tokens->count + 1;
    size_t capacity = tokens->capacity; /* both arrays grow equally */
    RN_TRY(err, rn_grow(err, "tokens", count, sizeof id, &tokens->id, &capacity));
    RN_TRY(err, rn_grow(err, "tokens", count, sizeof text_bytes, &tokens->text_bytes,
                        &tokens->capacity));
  }
  tokens->id[tokens->count] = id;
  tokens->text_bytes[tokens->count++] = text_bytes;
  return RN_OK;
}

void rn_tokens_free(rn_tokens *tokens) {
  free(tokens->id);
  free(tokens->text_bytes);
  *tokens = (rn_tokens){0};
}

rn_status rn_text_add(rn_err *err, rn_text *text, const void *bytes, size_t count) {
  if (count > SIZE_MAX - text->count) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory for %zu bytes of text", count);
  }
  RN_TRY(err, rn_grow(err, "text", text->count + count, 1, &text->bytes, &text->capacity));
  if (count > 0) memcpy(text->bytes + text->count, bytes, count);
  text->count += count;
  return RN_OK;
}

void rn_text_free(rn_text *text) {
  free(text->bytes);
  *text = (rn_text){0};
}

/* ---- tokenizers ---- */

static rn_status list_specials(rn_err *err, whole *w) {
  int count = 0;
  for (int i = 0; i < w->table.ids; i++) count += w->table.token[i].kind == RN_TOKEN_SPECIAL;
  RN_TRY(err, rn_alloc(err, "special tokens", (size_t)count, sizeof *w->special, &w->special));
  for (int i = 0; i < w->table.ids; i++) {
    if (w->table.token[i].kind != RN_TOKEN_SPECIAL) continue;
    w->special[w->public.specials++] =
        (rn_special_token){(const char *)rn_token_bytes(&w->table, i), i};
  }
  w->public.special = w->special;
  return RN_OK;
}

/* Adds an id for the document token if the vocabulary has no token for the end of a text. */
static rn_status add_document(rn_err *err, rn_tokenizer_content *content) {
  if (content->document >= 0) return RN_OK;
  content->document = content->table.ids;
  return rn_token_table_add(err, &content->table, content->document, RN_TOKEN_SPECIAL, "", 0);
}

rn_status rn_tokenizer_make(rn_err *err, const char *name, uint64_t hash,
                            rn_tokenizer_content *content, rn_tokenizer **out) {
  whole *w = NULL;
  rn_status status = add_document(err, content);
  if (status == RN_OK) status = rn_alloc(err, "tokenizer", 1, sizeof *w, &w);
  if (status != RN_OK) {
    rn_token_table_free(&content->table);
    content->calls->destroy(content->self);
    return status;
  }
  w->table = content->table;
  w->public = (rn_tokenizer){.calls = content->calls,
                             .self = content->self,
                             .name = strdup(name),
                             .hash = hash,
                             .vocabulary = content->table.ids,
                             .document = content->document,
                             .lossless = content->lossless};
  rn_tokenizer *made = &w->public;
  status = made->name != NULL ? list_specials(err, w)
                              : rn_fail(err, RN_ERR_MEMORY, "out of memory for the tokenizer");
  if (status == RN_OK) {
    *out = made;
  } else {
    rn_tokenizer_destroy(&made);
  }
  return status;
}

void rn_tokenizer_destroy(rn_tokenizer **tokenizer) {
  whole *w = (whole *)*tokenizer;
  if (w == NULL) return;
  w->public.calls->destroy(w->public.self);
  rn_token_table_free(&w->table);
  free(w->special);
  free(w->public.name);
  free(w);
  *tokenizer = NULL;
}

bool rn_tokenizer_has(const rn_tokenizer *tokenizer, int32_t id) {
  const rn_token_table *table = &whole_of(tokenizer)->table;
  return id >= 0 && id < table->ids && table->token[id].kind != RN_TOKEN_NONE;
}

rn_status rn_tokenizer_token(rn_err *err, const rn_tokenizer *tokenizer, int32_t id,
                             const void **bytes, size_t *count) {
  const rn_token_table *table = &whole_of(tokenizer)->table;
  if (!rn_tokenizer_has(tokenizer, id)) {
    return rn_fail(err, RN_ERR_FORMAT, "no token of %s has the id %d (vocabulary size %d)",
                   tokenizer->name, id, tokenizer->vocabulary);
  }
  *bytes = rn_token_bytes(table, id);
  *count = table->token[id].count;
  return RN_OK;
}

rn_status rn_tokenizer_decode(rn_err *err, const rn_tokenizer *tokenizer, const int32_t *id,
                              size_t count, rn_text *text) {
  const void *bytes = NULL;
  size_t length = 0;
  if (tokenizer->calls->decode == NULL) {
    for (size_t i = 0; i < count; i++) {
      RN_TRY(err, rn_tokenizer_token(err, tokenizer, id[i], &bytes, &length));
      RN_TRY(err, rn_text_add(err, text, bytes, length));
    }
    return RN_OK;
  }
  for (size_t i = 0; i < count; i++) {
    RN_TRY(err, rn_tokenizer_token(err, tokenizer, id[i], &bytes, &length));
  }
  return tokenizer->calls->decode(err, tokenizer->self, id, count, text);
}

size_t rn_tokenizer_cut(const rn_tokenizer *tokenizer, const char *text, size_t count) {
  return tokenizer->calls->cut(tokenizer->self, text, count);
}
