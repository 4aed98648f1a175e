/*
 * Writes a rank file as tokenizer.json. tiktoken merges the pair whose joined bytes have the lowest
 * rank, whereas tokenizer.json lists pairs in the order of their merges. Therefore every split of a
 * token into two tokens becomes a merge. Merges are sorted by the rank of the token, then by the
 * ranks of the parts. Source: TikTokenConverter of transformers (convert_slow_tokenizer.py).
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/file_content.h"
#include "data/tokenizer/hf_alphabet.h"
#include "data/tokenizer/hf_compose.h"
#include "data/tokenizer/tiktoken.h"
#include "proto/base/arena.h"

static json_t *token_text(const rn_token_table *table, int32_t id, rn_text *text) {
  const rn_token *token = &table->token[id];
  text->count = 0;
  if (!rn_alphabet_encode(rn_token_bytes(table, id), token->count, text)) return NULL;
  return json_stringn(text->bytes, text->count);
}

/* Special tokens are added to the vocabulary too: for added tokens outside of the vocabulary, the
 * tokenizers library ignores the given ids. */
static bool add_token(const rn_token_table *table, int32_t id, rn_text *text,
                      rn_hf_fields *fields) {
  const bool special = table->token[id].kind == RN_TOKEN_SPECIAL;
  json_t *name =
      special ? json_string((const char *)rn_token_bytes(table, id)) : token_text(table, id, text);
  bool added = name != NULL &&
               json_object_set_new(fields->vocab, json_string_value(name), json_integer(id)) == 0;
  if (added && special) {
    added = json_object_set_new(fields->special, json_string_value(name), json_integer(id)) == 0;
  }
  json_decref(name);
  return added;
}

static rn_status add_vocabulary(rn_err *err, const rn_token_table *table, rn_hf_fields *fields) {
  rn_text text = {0};
  bool added = true;
  for (int32_t id = 0; added && id < table->ids; id++) {
    if (table->token[id].kind != RN_TOKEN_NONE) added = add_token(table, id, &text, fields);
  }
  rn_text_free(&text);
  return added ? RN_OK : rn_fail(err, RN_ERR_MEMORY, "out of memory while writing a tokenizer");
}

static int by_rank(const void *a, const void *b) {
  const rn_bpe_pair *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  if (x->left != y->left) return x->left < y->left ? -1 : 1;
  return (x->right > y->right) - (x->right < y->right);
}

/* Appends "LEFT RIGHT" of a pair to the merges. */
static bool add_merge(const rn_token_table *table, const rn_bpe_pair *pair, rn_text *text,
                      json_t *merges) {
  const rn_token *left = &table->token[pair->left], *right = &table->token[pair->right];
  text->count = 0;
  return rn_alphabet_encode(rn_token_bytes(table, pair->left), left->count, text) &&
         rn_text_add(&(rn_err){0}, text, " ", 1) == RN_OK &&
         rn_alphabet_encode(rn_token_bytes(table, pair->right), right->count, text) &&
         json_array_append_new(merges, json_stringn(text->bytes, text->count)) == 0;
}

static rn_status add_merges(rn_err *err, const rn_token_table *table, const rn_bpe *bpe,
                            json_t *merges) {
  rn_bpe_pair *sorted = NULL;
  rn_text text = {0};
  size_t count = 0;
  bool added = true;
  RN_TRY(err, rn_alloc(err, "merges", bpe->pairs + 1, sizeof *sorted, &sorted));
  for (size_t i = 0; i < bpe->pair_slots; i++) {
    if (bpe->pair[i].rank != UINT32_MAX) sorted[count++] = bpe->pair[i];
  }
  qsort(sorted, count, sizeof *sorted, by_rank);
  for (size_t i = 0; added && i < count; i++) added = add_merge(table, &sorted[i], &text, merges);
  free(sorted);
  rn_text_free(&text);
  return added ? RN_OK : rn_fail(err, RN_ERR_MEMORY, "out of memory while writing a tokenizer");
}

/* Returns the text of tokenizer_config.json. It selects PreTrainedTokenizerFast, because this class
 * adds no special tokens to a text. */
static char *config_text(const rn_token_table *table, int32_t document) {
  json_t *config = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "clean_up_tokenization_spaces", 0);
  static const char *const keys[] = {"bos_token", "eos_token"};
  int failed = config == NULL;
  for (int i = 0; document >= 0 && i < 2; i++) {
    failed |= json_object_set_new(config, keys[i],
                                  json_string((const char *)rn_token_bytes(table, document)));
  }
  char *text = failed == 0 ? json_dumps(config, JSON_INDENT(2)) : NULL;
  json_decref(config);
  return text;
}

static rn_status compose(rn_err *err, rn_tiktoken *t, rn_hf_fields *fields, rn_hf_files *out) {
  const rn_token_table *table = rn_bpe_tokenizer_table(t->bpe);
  rn_text pattern = {0};
  RN_TRY(err, add_vocabulary(err, table, fields));
  RN_TRY(err, add_merges(err, table, rn_bpe_tokenizer_merges(t->bpe), fields->merges));
  RN_TRY(err,
         rn_hf_pattern(err, json_string_value(json_object_get(t->settings, "pattern")), &pattern));
  fields->pattern = pattern.bytes;
  out->tokenizer = rn_hf_compose(fields);
  out->config = config_text(table, t->document);
  rn_text_free(&pattern);
  if (out->tokenizer != NULL && out->config != NULL) return RN_OK;
  rn_hf_files_free(out);
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing a tokenizer");
}

rn_status rn_tiktoken_to_hf(rn_err *err, const Retnet__Tokenizer *file, rn_hf_files *out) {
  rn_tiktoken t = {0};
  rn_hf_fields fields = {json_object(), json_array(), json_object(), NULL, true};
  *out = (rn_hf_files){0};
  rn_status status = rn_tiktoken_load(err, file, &t);
  if (status == RN_OK) status = compose(err, &t, &fields, out);
  rn_tiktoken_unload(&t);
  json_decref(fields.vocab);
  json_decref(fields.merges);
  json_decref(fields.special);
  return status;
}

void rn_hf_files_free(rn_hf_files *texts) {
  free(texts->tokenizer);
  free(texts->config);
  *texts = (rn_hf_files){0};
}
