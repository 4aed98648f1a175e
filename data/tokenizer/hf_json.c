#include "data/tokenizer/hf_json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/json_text.h"
#include "data/tokenizer/bpe_tokenizer.h"
#include "data/tokenizer/file_content.h"
#include "data/tokenizer/hf_alphabet.h"
#include "data/tokenizer/pattern.h"

/* State of reading one file. */
typedef struct reading {
  const char *where;
  const json_t *root, *model;
  rn_token_table *table;
  rn_bpe *merges;
} reading;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "(none)";
}

static bool is(const json_t *object, const char *type) {
  return strcmp(text_of(object, "type"), type) == 0;
}

static rn_status not_understood(rn_err *err, const reading *r, const char *component,
                                const char *value) {
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: %s \"%s\" is not supported; the tokenizer must be byte-level BPE, as those of GPT-2 and "
      "Llama 3 are",
      r->where, component, value);
}

/* ---- pattern ---- */

static rn_status byte_level(rn_err *err, const reading *r, const json_t *step,
                            const char **pattern) {
  if (json_is_true(json_object_get(step, "add_prefix_space"))) {
    return not_understood(err, r, "pre_tokenizer ByteLevel", "add_prefix_space: true");
  }
  if (json_is_false(json_object_get(step, "use_regex"))) return RN_OK;
  if (*pattern != NULL) {
    return not_understood(err, r, "pre_tokenizer", "Split before ByteLevel with use_regex");
  }
  *pattern = rn_pattern_gpt2;
  return RN_OK;
}

static rn_status split(rn_err *err, const reading *r, const json_t *step, const char **pattern) {
  const json_t *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
  if (!json_is_string(regex)) return not_understood(err, r, "pre_tokenizer Split", "pattern");
  if (strcmp(text_of(step, "behavior"), "Isolated") != 0) {
    return not_understood(err, r, "pre_tokenizer Split: behavior", text_of(step, "behavior"));
  }
  if (json_is_true(json_object_get(step, "invert"))) {
    return not_understood(err, r, "pre_tokenizer Split", "invert: true");
  }
  if (*pattern != NULL) return not_understood(err, r, "pre_tokenizer", "a second Split");
  *pattern = json_string_value(regex);
  return RN_OK;
}

static rn_status find_pattern(rn_err *err, const reading *r, const char **pattern) {
  const json_t *pre = json_object_get(r->root, "pre_tokenizer");
  const json_t *steps = json_object_get(pre, "pretokenizers");
  bool bytes = false;
  *pattern = NULL;
  if (is(pre, "ByteLevel")) {
    RN_TRY(err, byte_level(err, r, pre, pattern));
    bytes = true;
  } else if (!is(pre, "Sequence") || !json_is_array(steps)) {
    return not_understood(err, r, "pre_tokenizer", text_of(pre, "type"));
  }
  for (size_t i = 0; i < json_array_size(steps); i++) {
    const json_t *step = json_array_get(steps, i);
    if (is(step, "Split") && !bytes) {
      RN_TRY(err, split(err, r, step, pattern));
    } else if (is(step, "ByteLevel") && !bytes) {
      RN_TRY(err, byte_level(err, r, step, pattern));
      bytes = true;
    } else {
      return not_understood(err, r, "pre_tokenizer", text_of(step, "type"));
    }
  }
  if (!bytes) return not_understood(err, r, "pre_tokenizer", "without ByteLevel");
  return RN_OK;
}

/* ---- unsupported components, which would change the ids ---- */

static bool is_absent(const json_t *value) {
  return value == NULL || json_is_null(value) || json_is_false(value) ||
         (json_is_string(value) && json_string_length(value) == 0) ||
         (json_is_number(value) && !(json_number_value(value) > 0));
}

static rn_status check_components(rn_err *err, const reading *r) {
  static const char *const off[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                    "end_of_word_suffix", "byte_fallback"};
  const json_t *normalizer = json_object_get(r->root, "normalizer");
  const json_t *decoder = json_object_get(r->root, "decoder");
  if (!is(r->model, "BPE")) return not_understood(err, r, "model type", text_of(r->model, "type"));
  if (!is_absent(normalizer)) {
    return not_understood(err, r, "normalizer", text_of(normalizer, "type"));
  }
  if (!is_absent(decoder) && !is(decoder, "ByteLevel")) {
    return not_understood(err, r, "decoder", text_of(decoder, "type"));
  }
  for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
    if (!is_absent(json_object_get(r->model, off[i]))) {
      return not_understood(err, r, "model option", off[i]);
    }
  }
  return RN_OK;
}

/* ---- tokens ---- */

static rn_status add_token(rn_err *err, const reading *r, const char *name, const json_t *id) {
  unsigned char small[256], *bytes = small;
  const size_t length = strlen(name);
  size_t count = 0;
  rn_err inner = {0};
  if (length > sizeof small) bytes = malloc(length);
  if (bytes == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", r->where);
  rn_status status = RN_OK;
  if (!json_is_integer(id)) {
    status = rn_fail(&inner, RN_ERR_FORMAT, "its id is not an integer");
  } else if (!rn_alphabet_decode(name, length, bytes, &count)) {
    status = rn_fail(&inner, RN_ERR_FORMAT, "it has characters outside the byte-level alphabet");
  } else {
    status =
        rn_token_table_add(&inner, r->table, json_integer_value(id), RN_TOKEN_TEXT, bytes, count);
  }
  if (bytes != small) free(bytes);
  if (status == RN_OK) return RN_OK;
  return rn_fail(err, status, "%s: token \"%.60s\": %s", r->where, name, inner.text);
}

/* Adds the tokens of "added_tokens", which are special. Must be called before add_vocab(), which
 * then skips those that are also in the vocabulary. */
static rn_status add_added(rn_err *err, const reading *r) {
  const json_t *added = json_object_get(r->root, "added_tokens");
  for (size_t i = 0; i < json_array_size(added); i++) {
    const json_t *token = json_array_get(added, i), *id = json_object_get(token, "id");
    const json_t *content = json_object_get(token, "content");
    rn_err inner = {0};
    if (!json_is_integer(id) || !json_is_string(content)) {
      return rn_fail(
          err, RN_ERR_FORMAT,
          "%s: added_tokens[%zu]: \"id\" or \"content\" is missing or has the wrong type", r->where,
          i);
    }
    if (rn_token_table_add(&inner, r->table, json_integer_value(id), RN_TOKEN_SPECIAL,
                           json_string_value(content), json_string_length(content)) != RN_OK) {
      return rn_fail(err, inner.status, "%s: added_tokens[%zu]: %s", r->where, i, inner.text);
    }
  }
  return RN_OK;
}

static bool is_added(const reading *r, const char *name, const json_t *id) {
  const json_int_t at = json_integer_value(id);
  return json_is_integer(id) && at >= 0 && at < r->table->ids &&
         r->table->token[at].kind == RN_TOKEN_SPECIAL &&
         strcmp((const char *)rn_token_bytes(r->table, (int32_t)at), name) == 0;
}

static rn_status add_vocab(rn_err *err, const reading *r) {
  const json_t *vocab = json_object_get(r->model, "vocab");
  const char *name;
  json_t *id;
  if (!json_is_object(vocab)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: model.vocab is not an object", r->where);
  }
  json_object_foreach((json_t *)vocab, name, id) {
    if (!is_added(r, name, id)) RN_TRY(err, add_token(err, r, name, id));
  }
  return RN_OK;
}

/* ---- merges ---- */

/* Converts a token from the byte-level alphabet (hf_alphabet.h) to bytes and appends them to
 * `joined`. Returns the id of the token, or -1 if there is none. */
static int32_t id_of(const reading *r, const char *text, size_t length, unsigned char *joined,
                     size_t *count) {
  size_t bytes = 0;
  if (!rn_alphabet_decode(text, length, joined + *count, &bytes) || bytes == 0) return -1;
  const int32_t id = rn_bpe_find(r->merges, joined + *count, bytes);
  *count += bytes;
  return id;
}

static rn_status add_merge(rn_err *err, const reading *r, const json_t *merge, size_t rank) {
  enum { MAX_BYTES = 1 << 12 };
  unsigned char joined[2 * MAX_BYTES];
  const bool pair = json_is_array(merge) && json_array_size(merge) == 2;
  const char *left = json_string_value(pair ? json_array_get(merge, 0) : merge);
  const char *space = !pair && left != NULL ? strchr(left, ' ') : NULL;
  const char *right = pair            ? json_string_value(json_array_get(merge, 1))
                      : space != NULL ? space + 1
                                      : NULL;
  size_t count = 0;
  if (left == NULL || right == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: merges[%zu] is not a pair of tokens", r->where, rank);
  }
  const size_t left_length = pair ? strlen(left) : (size_t)(space - left);
  if (left_length > MAX_BYTES || strlen(right) > MAX_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: a token of merges[%zu] is longer than %d bytes",
                   r->where, rank, MAX_BYTES);
  }
  rn_bpe_pair made = {.rank = (uint32_t)rank};
  made.left = id_of(r, left, left_length, joined, &count);
  made.right = made.left < 0 ? -1 : id_of(r, right, strlen(right), joined, &count);
  made.id = made.right < 0 ? -1 : rn_bpe_find(r->merges, joined, count);
  if (made.id < 0) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: merges[%zu]: its two tokens and their concatenation must be in the vocabulary",
        r->where, rank);
  }
  rn_bpe_add_pair(r->merges, made);
  return RN_OK;
}

static rn_status add_merges(rn_err *err, const reading *r) {
  const json_t *merges = json_object_get(r->model, "merges");
  if (!json_is_array(merges)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: model.merges is not an array", r->where);
  }
  RN_TRY(err, rn_bpe_reserve_pairs(err, r->merges, json_array_size(merges)));
  for (size_t i = 0; i < json_array_size(merges); i++) {
    RN_TRY(err, add_merge(err, r, json_array_get(merges, i), i));
  }
  return RN_OK;
}

/* ---- tokenizer ---- */

static int32_t find_special(const rn_token_table *table, const char *name) {
  for (int32_t id = 0; name != NULL && id < table->ids; id++) {
    if (table->token[id].kind == RN_TOKEN_SPECIAL &&
        strcmp((const char *)rn_token_bytes(table, id), name) == 0) {
      return id;
    }
  }
  return -1;
}

/* Finds the token that separates documents: the eos_token of the settings, or one of the usual
 * tokens. Sets *id to -1 if there is none. */
static rn_status find_document(rn_err *err, const rn_token_table *table,
                               const Retnet__Tokenizer *file, int32_t *id) {
  static const char *const usual[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>",
                                      "<|im_end|>"};
  json_error_t ignored;
  json_t *settings = NULL;
  bool no_memory = false;
  if (file->settings != NULL) {
    settings = rn_json_parse(file->settings, strlen(file->settings), 0, &ignored, &no_memory);
  }
  if (no_memory) return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading a tokenizer");
  *id = find_special(table, json_string_value(json_object_get(settings, "eos_token")));
  json_decref(settings);
  for (size_t i = 0; *id < 0 && i < sizeof usual / sizeof usual[0]; i++) {
    *id = find_special(table, usual[i]);
  }
  return RN_OK;
}

static rn_status fill(rn_err *err, reading *r, rn_bpe_tokenizer **bpe) {
  const char *pattern = NULL;
  rn_err inner = {0};
  RN_TRY(err, check_components(err, r));
  RN_TRY(err, find_pattern(err, r, &pattern));
  /* Without a pattern, the whole text is one piece. */
  if (rn_bpe_tokenizer_create(&inner, pattern != NULL ? pattern : "(?s:.+)", bpe) != RN_OK) {
    return rn_tokenizer_fail_at(err, r->where, &inner);
  }
  r->table = rn_bpe_tokenizer_table(*bpe);
  r->merges = rn_bpe_tokenizer_merges(*bpe);
  r->merges->whole_first = json_is_true(json_object_get(r->model, "ignore_merges"));
  RN_TRY(err, add_added(err, r));
  RN_TRY(err, add_vocab(err, r));
  if (rn_bpe_set_tokens(&inner, r->merges, r->table) != RN_OK) {
    return rn_tokenizer_fail_at(err, r->where, &inner);
  }
  return add_merges(err, r);
}

rn_status rn_hf_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                       rn_tokenizer **out) {
  json_t *root = NULL;
  rn_bpe_tokenizer *bpe = NULL;
  RN_TRY(err,
         rn_tokenizer_parse(err, file->file_name, file->content.data, file->content.len, &root));
  reading r = {.where = file->file_name, .root = root, .model = json_object_get(root, "model")};
  int32_t document = -1;
  rn_status status = fill(err, &r, &bpe);
  assert(status != RN_OK || r.table != NULL);
  if (status == RN_OK) status = find_document(err, r.table, file, &document);
  json_decref(root);
  if (status == RN_OK) return rn_bpe_tokenizer_finish(err, &bpe, name, hash, document, out);
  rn_bpe_tokenizer_destroy(&bpe);
  return status;
}
