/* Implements the byte tokenizer, whose tokens are the 256 byte values and the document token. */
#include "data/tokenizer/bytes.h"

#include "data/tokenizer/tokenizer_calls.h"

static rn_status create_work(rn_err *err, const void *self, void **work) {
  (void)err;
  (void)self;
  *work = NULL;
  return RN_OK;
}

static void destroy_nothing(void *work) {
  (void)work;
}

static rn_status encode(rn_err *err, const void *self, void *work, const char *text, size_t count,
                        rn_tokens *tokens) {
  (void)self;
  (void)work;
  for (size_t i = 0; i < count; i++) {
    RN_TRY(err, rn_tokens_add(err, tokens, (unsigned char)text[i], 1));
  }
  return RN_OK;
}

static size_t cut(const void *self, const char *text, size_t count) {
  (void)self;
  (void)text;
  return count > 0 ? count - 1 : 0;
}

rn_status rn_tokenizer_bytes(rn_err *err, rn_tokenizer **out) {
  static const rn_tokenizer_calls calls = {.work_create = create_work,
                                           .work_destroy = destroy_nothing,
                                           .encode = encode,
                                           .cut = cut,
                                           .destroy = destroy_nothing};
  rn_tokenizer_content content = {.calls = &calls, .document = RN_BYTES_DOCUMENT, .lossless = true};
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < RN_BYTES_DOCUMENT; i++) {
    const unsigned char byte = (unsigned char)i;
    status = rn_token_table_add(err, &content.table, i, RN_TOKEN_TEXT, &byte, 1);
  }
  if (status == RN_OK) {
    status = rn_token_table_add(err, &content.table, RN_BYTES_DOCUMENT, RN_TOKEN_SPECIAL, "", 0);
  }
  if (status == RN_OK) {
    return rn_tokenizer_make(err, RN_BYTES_NAME, RN_BYTES_HASH, &content, out);
  }
  rn_token_table_free(&content.table);
  return status;
}
