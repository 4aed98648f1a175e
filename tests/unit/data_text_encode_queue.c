/* Checks that the encode queue cuts a long document into segments and gives the same ids as
 * encoding the whole document at once, also with special tokens. A document that cannot be cut must
 * be refused before it fills the memory. */
#include "data/text/encode_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/tokenizer/tokenizer_file.h"
#include "tests/support/check.h"

enum { DOCUMENT_BYTES = 1 << 20, LIMIT_BYTES = 1 << 19 };

static rn_err *err = &(rn_err){0};
static const char *folder;

static rn_tokenizer *open_tokenizer(void) {
  char name[RN_PATH_BYTES + 16];
  Retnet__Tokenizer *file = NULL;
  rn_tokenizer *tokenizer = NULL;
  snprintf(name, sizeof name, "tiktoken:%s/synthetic.tiktoken", folder);
  if (!CHECK_OK(err, rn_tokenizer_file_read(err, name, &file))) exit(1);
  if (!CHECK_OK(err, rn_tokenizer_create(err, file, &tokenizer))) exit(1);
  rn_tokenizer_file_free(file);
  return tokenizer;
}

/* The tokens that the queue has passed to its visitor, and the numbers of segments, of beginnings
 * and of ends of documents. */
typedef struct passed {
  rn_tokens tokens;
  int segments, begun, ended;
} passed;

static rn_status take(void *self, rn_err *fault, const rn_tokens *tokens, bool begins, bool ends) {
  passed *p = self;
  p->segments++;
  p->begun += begins;
  p->ended += ends;
  for (size_t i = 0; i < tokens->count; i++) {
    RN_TRY(fault, rn_tokens_add(fault, &p->tokens, tokens->id[i], tokens->text_bytes[i]));
  }
  return RN_OK;
}

/* Encodes `text` with the queue, to which the text is added in pieces of PIECE bytes. */
static rn_status encode(const rn_tokenizer *tokenizer, const char *special, const char *text,
                        passed *p) {
  enum { PIECE = 10007 };
  rn_encode_queue *queue = NULL;
  rn_status status = rn_encode_queue_create(err, tokenizer, special, LIMIT_BYTES,
                                            (rn_queue_visitor){take, p}, &queue);
  if (status == RN_OK) status = rn_encode_queue_flush(err, queue); /* before any text */
  for (size_t at = 0; status == RN_OK && at < DOCUMENT_BYTES; at += PIECE) {
    const size_t left = DOCUMENT_BYTES - at, count = left < PIECE ? left : PIECE;
    status = rn_encode_queue_add(err, queue, "file.txt", text + at, count, count == left);
  }
  if (status == RN_OK) status = rn_encode_queue_flush(err, queue);
  if (status == RN_OK) status = rn_encode_queue_flush(err, queue); /* nothing is left to do */
  rn_encode_queue_destroy(&queue);
  return status;
}

static void whole_ids(const rn_tokenizer *tokenizer, const char *special, const char *text,
                      rn_tokens *tokens) {
  rn_encoder *encoder = NULL;
  CHECK_OK(err, rn_encoder_create(err, tokenizer, &encoder));
  if (special != NULL) CHECK_OK(err, rn_encoder_allow(err, encoder, special));
  CHECK_OK(err, rn_encoder_encode(err, encoder, text, DOCUMENT_BYTES, tokens));
  rn_encoder_destroy(&encoder);
}

static void check_ids(const rn_tokenizer *tokenizer, const char *special, const char *text) {
  rn_tokens whole = {0};
  passed p = {.segments = 0};
  whole_ids(tokenizer, special, text, &whole);
  CHECK_OK(err, encode(tokenizer, special, text, &p));
  CHECK(p.segments > 2 && p.begun == 1 && p.ended == 1);
  CHECK(p.tokens.count == whole.count &&
        memcmp(p.tokens.id, whole.id, whole.count * sizeof *whole.id) == 0);
  rn_tokens_free(&p.tokens);
  rn_tokens_free(&whole);
}

int main(int argc, char **argv) {
  static char text[DOCUMENT_BYTES], word[DOCUMENT_BYTES];
  static const char sentence[] = "it is 42 <|endoftext|> again<|endoftext|> of the end, ";
  passed p = {.segments = 0};
  folder = argc > 1 ? argv[1] : ".";
  rn_tokenizer *tokenizer = open_tokenizer();
  for (size_t i = 0; i < sizeof text; i++) text[i] = sentence[i % (sizeof sentence - 1)];
  memset(word, 'a', sizeof word);
  check_ids(tokenizer, NULL, text);
  check_ids(tokenizer, "all", text);
  CHECK_FAILS(err, RN_ERR_FORMAT, "file.txt|more than 524288 bytes|synthetic",
              encode(tokenizer, NULL, word, &p));
  rn_tokens_free(&p.tokens);
  rn_tokenizer_destroy(&tokenizer);
  return check_result();
}
