#include "data/tokenizer/spm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/file_content.h"
#include "data/tokenizer/spm_library.h"
#include "data/tokenizer/tokenizer_calls.h"

static rn_status create_work(rn_err *err, const void *self, void **work) {
  (void)err;
  (void)self;
  *work = NULL;
  return RN_OK;
}

static void destroy_work(void *work) {
  (void)work;
}

/* Destination of the ids of a text. */
typedef struct encoding {
  rn_err *err;
  rn_tokens *tokens;
  rn_status status;
} encoding;

static bool take_id(void *self, int id, size_t text_bytes) {
  encoding *e = self;
  e->status = rn_tokens_add(e->err, e->tokens, id, (uint32_t)text_bytes);
  return e->status == RN_OK;
}

static rn_status encode(rn_err *err, const void *self, void *work, const char *text, size_t count,
                        rn_tokens *tokens) {
  (void)work;
  encoding e = {err, tokens, RN_OK};
  if (rn_spm_model_encode(self, text, count, take_id, &e)) return RN_OK;
  if (e.status != RN_OK) return e.status;
  return rn_fail(err, RN_ERR_LIBRARY, "sentencepiece cannot encode a text of %zu bytes", count);
}

typedef struct decoding {
  rn_err *err;
  rn_text *text;
} decoding;

static bool take_text(void *self, const char *text, size_t count) {
  decoding *d = self;
  return rn_text_add(d->err, d->text, text, count) == RN_OK;
}

/* Decodes ids with the model. Skips a document token that is not part of the model, because
 * it has no text. */
static rn_status decode(rn_err *err, const void *self, const int32_t *id, size_t count,
                        rn_text *text) {
  decoding d = {err, text};
  const int pieces = rn_spm_model_pieces(self);
  for (size_t at = 0; at < count; at++) {
    size_t end = at;
    while (end < count && id[end] < pieces) end++;
    if (end > at && !rn_spm_model_decode(self, id + at, end - at, take_text, &d)) {
      return rn_fail(err, RN_ERR_LIBRARY, "sentencepiece cannot decode %zu tokens", end - at);
    }
    at = end;
  }
  return RN_OK;
}

/* Returns 0 (no cut), because sentencepiece chooses the ids for the text as a whole: it adds
 * up rounded scores, and blanks at the ends of the text are special. */
static size_t cut(const void *self, const char *text, size_t count) {
  (void)self;
  (void)text;
  (void)count;
  return 0;
}

static void destroy(void *self) {
  rn_spm_model_destroy(self);
}

/* Adds a piece of the model to the table, with the bytes that the piece represents if it is not at
 * the start of a text; U+2581 becomes a blank. */
static rn_status add_piece(rn_err *err, const rn_spm_model *model, int id, rn_token_table *table) {
  static const char blank[] = "\xe2\x96\x81", unknown[] = " \xe2\x81\x87 ";
  const char *text;
  size_t count;
  unsigned byte = 0;
  rn_text bytes = {0};
  const rn_spm_kind kind = rn_spm_model_piece(model, id, &text, &count);
  if (kind == RN_SPM_CONTROL) return rn_token_table_add(err, table, id, RN_TOKEN_SPECIAL, "", 0);
  if (kind == RN_SPM_UNKNOWN) {
    return rn_token_table_add(err, table, id, RN_TOKEN_TEXT, unknown, strlen(unknown));
  }
  if (kind == RN_SPM_BYTE && sscanf(text, "<0x%2x>", &byte) == 1) {
    const unsigned char value = (unsigned char)byte;
    return rn_token_table_add(err, table, id, RN_TOKEN_TEXT, &value, 1);
  }
  rn_status status = RN_OK;
  for (size_t at = 0; status == RN_OK && at < count;) {
    const bool is_blank = count - at >= 3 && memcmp(text + at, blank, 3) == 0;
    status = rn_text_add(err, &bytes, is_blank ? " " : text + at, 1);
    at += is_blank ? 3 : 1;
  }
  if (status == RN_OK) {
    status = rn_token_table_add(err, table, id, RN_TOKEN_TEXT, bytes.bytes, bytes.count);
  }
  rn_text_free(&bytes);
  return status;
}

rn_status rn_spm_read(rn_err *err, const char *path, Retnet__Tokenizer *file) {
  return rn_tokenizer_load(err, path, RN_CONTENT_SENTENCEPIECE, file);
}

rn_status rn_spm_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                        rn_tokenizer **out) {
  static const rn_tokenizer_calls calls = {.work_create = create_work,
                                           .work_destroy = destroy_work,
                                           .encode = encode,
                                           .decode = decode,
                                           .cut = cut,
                                           .destroy = destroy};
  char reason[256] = "";
  rn_spm_model *model =
      rn_spm_model_load(file->content.data, file->content.len, reason, sizeof reason);
  if (model == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: not a sentencepiece model, or a damaged one: %s",
                   file->file_name, reason);
  }
  rn_tokenizer_content content = {
      .calls = &calls, .self = model, .document = rn_spm_model_eos(model)};
  rn_status status = RN_OK;
  const int pieces = rn_spm_model_pieces(model);
  for (int id = 0; status == RN_OK && id < pieces; id++) {
    status = add_piece(err, model, id, &content.table);
  }
  if (status == RN_OK) return rn_tokenizer_make(err, name, hash, &content, out);
  rn_token_table_free(&content.table);
  rn_spm_model_destroy(model);
  return status;
}
