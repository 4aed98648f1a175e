/* Fuzzes the readers of tokenizer files. The input consists of a line that names the kind of
 * tokenizer, a line of settings if the kind is tiktoken, and the bytes of the file. A tokenizer
 * that is accepted must be able to encode and decode a text. */
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/tokenizer_file.h"
#include "tests/fuzz/target.h"

/* Returns the first line as a string and removes it from the input, or returns NULL. */
static char *take_line(const uint8_t **data, size_t *bytes) {
  const uint8_t *end = *bytes > 0 ? memchr(*data, '\n', *bytes) : NULL;
  if (end == NULL) return NULL;
  const size_t length = (size_t)(end - *data);
  char *line = malloc(length + 1);
  target_require(line != NULL, "memory suffices");
  memcpy(line, *data, length);
  line[length] = '\0';
  *data = end + 1;
  *bytes -= length + 1;
  return line;
}

static void encode(const rn_tokenizer *tokenizer) {
  static const char text[] =
      "ab  don't\xff\xe2\x96\x81 12 \xc3\xa9\n<|endoftext|> x\xf0\x9f\x98\x80";
  rn_err err = {0};
  rn_encoder *encoder = NULL;
  rn_tokens tokens = {0};
  rn_text decoded = {0};
  target_require(rn_encoder_create(&err, tokenizer, &encoder) == RN_OK, "memory suffices");
  if (target_is_ok(rn_encoder_encode(&err, encoder, text, sizeof text - 1, &tokens), &err)) {
    for (size_t i = 0; i < tokens.count; i++) {
      target_require(tokens.id[i] >= 0 && tokens.id[i] < tokenizer->vocabulary, "ids are valid");
    }
    target_is_ok(rn_tokenizer_decode(&err, tokenizer, tokens.id, tokens.count, &decoded), &err);
  }
  rn_text_free(&decoded);
  rn_tokens_free(&tokens);
  rn_encoder_destroy(&encoder);
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  rn_tokenizer *tokenizer = NULL;
  Retnet__Tokenizer file = RETNET__TOKENIZER__INIT;
  file.kind = take_line(&data, &bytes);
  if (file.kind != NULL && strcmp(file.kind, "tiktoken") == 0) {
    file.settings = take_line(&data, &bytes);
  }
  file.file_name = (char *)"fuzzed";
  file.content = (ProtobufCBinaryData){bytes, (uint8_t *)(uintptr_t)data};
  bool accepted = false;
  if (file.kind != NULL && bytes > 0) {
    accepted = target_is_ok(rn_tokenizer_create(&err, &file, &tokenizer), &err);
  }
  if (accepted) encode(tokenizer);
  rn_tokenizer_destroy(&tokenizer);
  free(file.kind);
  free(file.settings);
  return accepted;
}
